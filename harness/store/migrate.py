"""Bring a database to the schema of this code: create it, step it up after a copy, or refuse it with the reason."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    column,
    insert,
    inspect,
    select,
    table,
)

from harness.core.errors import StoreError
from harness.store.databases import Database, copy_file, lock_for_migration
from harness.store.schema import HEAD, METADATA, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.script import Script, ScriptDirectory

MIGRATIONS = Path(__file__).with_name("migrations")


def bring_up_to_date(database: Database, *, head: str = HEAD, migrations: Path = MIGRATIONS) -> None:
    """Bring `database` to revision `head`. Raises StoreError if a newer version or another application made it.

    An empty database gets the tables of `schema.METADATA` at once, an older one the missing migrations (a test compares
    both). All steps are one transaction. Before a migration, an existing SQLite file is copied to
    `NAME.schema-OLD.SUFFIX`.
    """
    with database.readers.begin() as connection:
        if _revision(connection) == head:
            return
    with database.writers.begin() as connection:
        lock_for_migration(connection)
        # Another process may have been faster between the two transactions.
        found = _revision(connection)
        if found == head:
            return
        if found is None:
            _require_nothing_foreign(connection, database)
            if migrations == MIGRATIONS:
                _create(connection, head)
                return
        steps = _steps(database, found=found, head=head, migrations=migrations)
        if found is not None and database.file is not None:
            copy_file(database, _free_name(database.file, found))
        _apply(connection, steps, migrations)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    return None if found is None else str(found)


def _require_nothing_foreign(connection: Connection, database: Database) -> None:
    """Raise StoreError for a SQLite file of another application. A server's database may be shared with others."""
    tables = set(inspect(connection).get_table_names())
    foreign = tables if database.is_local else tables & set(METADATA.tables)
    if foreign:
        raise StoreError(
            f"is a database of another application (it has the table {min(foreign)!r}), and was left as it is",
            where=database.place,
            remedy="give another place with --results",
        )


def _create(connection: Connection, head: str) -> None:
    """All tables, without Alembic: half of the time of a first short run went into its import."""
    METADATA.create_all(connection)
    # As Alembic lays it out, which writes to it from the next migration on.
    version = Table(
        VERSION_TABLE,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
    )
    version.create(connection)
    connection.execute(insert(version).values(version_num=head))


def _script(migrations: Path) -> "ScriptDirectory":
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(migrations), version_locations=[str(migrations)])


def _steps(database: Database, *, found: str | None, head: str, migrations: Path) -> Sequence["Script"]:
    script = _script(migrations)
    known = [step.revision for step in script.walk_revisions()]
    if found is not None and found not in known:
        raise StoreError(
            f"was written by a newer kokoro-bench (schema {found}, this one knows {head})",
            where=database.place,
            remedy="pip install --upgrade kokoro-bench, or give another place with --results",
        )
    return list(reversed(list(script.iterate_revisions(head, found or "base"))))


def _apply(connection: Connection, steps: Sequence["Script"], migrations: Path) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    script = _script(migrations)
    for step in steps:
        with Operations.context(context):
            step.module.upgrade()
        context.stamp(script, step.revision)


def _free_name(file: Path, revision: str) -> Path:
    target = file.with_name(f"{file.stem}.schema-{revision}{file.suffix}")
    number = 2
    while target.exists():
        target = file.with_name(f"{file.stem}.schema-{revision}-{number}{file.suffix}")
        number += 1
    return target
