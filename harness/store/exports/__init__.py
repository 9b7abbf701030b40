"""Formats in which runs leave the results store, and the import of one."""
