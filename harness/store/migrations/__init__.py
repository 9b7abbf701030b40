"""One file per step of the schema, each with `revision`, `down_revision` and `upgrade()`; see `harness.store.migrate`.

A step that has been released is never edited: it is how a database of that age came to be.
"""
