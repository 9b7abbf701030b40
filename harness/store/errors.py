"""One-line messages for database errors. A damaged file is moved aside and never deleted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from harness.core.errors import ExitCode, StoreError
from harness.store.databases import SQLITE_SUFFIXES, Database, identity

_MAGIC: Final = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    what: str
    remedy: str
    passes: bool = False
    """Whether the fault may pass soon: space is freed, a lock ends, a server comes back."""


class AwayError(StoreError):
    """The database is temporarily unavailable: nothing is wrong with the command, and nothing could be measured."""

    exit_code = ExitCode.MEASUREMENT


_NOT_OPENED: Final = _Fault(
    what="the results database cannot be opened",
    remedy="make the file and its directory readable and writable, or give another place with --results",
)
_HELD: Final = _Fault(
    what="another process has held the results database for too long",
    remedy="wait for it to end, or give another place with --results",
    passes=True,
)
# By the beginning of SQLite's own name for the error, the longer ones first.
_SQLITE: Final = {
    "SQLITE_FULL": _Fault(
        what="the disk is full; what was stored before is safe",
        remedy="free some space, or give another place with --results",
        passes=True,
    ),
    "SQLITE_READONLY": _Fault(
        what="the results database cannot be written",
        remedy="make the file and its directory writable, or give another place with --results",
    ),
    "SQLITE_CANTOPEN": _NOT_OPENED,
    "SQLITE_PERM": _NOT_OPENED,
    "SQLITE_IOERR": _Fault(
        what="the disk refused a read or a write; what was stored before is safe",
        remedy="check the space left, the quota and the disk, or give another place with --results",
        passes=True,
    ),
    "SQLITE_BUSY": _HELD,
    "SQLITE_LOCKED": _HELD,
}
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

# By the class of the SQLSTATE, or all of it.
_SERVER: Final = {
    "53100": _Fault(
        what="the server's disk is full; what was stored before is safe", remedy="free some space there", passes=True
    ),
    "28": _Fault(what="the server refused the user or the password", remedy="check the URL given with --results"),
    "3D": _Fault(what="the server has no such database", remedy="create it with createdb, or correct the URL"),
    "42501": _Fault(what="the user may not do this in the database", remedy="grant it, or give another user"),
    "40": _Fault(what="another writer was in the way", remedy="try again", passes=True),
}


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Raise what SQLAlchemy raises as a StoreError in this product's words."""
    try:
        yield
    except SQLAlchemyError as error:
        raise explain(error, database) from error


@contextmanager
def reading(database: Database) -> Iterator[Connection]:
    """A transaction that only reads. Raises StoreError."""
    with explained(database), database.readers.begin() as connection:
        yield connection


@contextmanager
def writing(database: Database) -> Iterator[Connection]:
    """A transaction that writes. Raises StoreError."""
    with explained(database), database.writers.begin() as connection:
        yield connection


def explain(error: SQLAlchemyError, database: Database) -> StoreError:
    """One line for `error`. A damaged SQLite file is moved aside first, with every connection closed."""
    error = _first(error)
    original = error.orig if isinstance(error, DBAPIError) else None
    name = str(getattr(original, "sqlite_errorname", "") or "")
    if name.startswith(_DAMAGE):
        return _damaged(database, reason=_first_line(original))
    state = str(getattr(original, "sqlstate", "") or "")
    for known, fault in {**_SQLITE, **_SERVER}.items():
        if (name and name.startswith(known)) or (state and state.startswith(known)):
            kind = AwayError if fault.passes else StoreError
            return kind(f"{fault.what} ({_first_line(original)})", where=database.place, remedy=fault.remedy)
    if isinstance(error, DBAPIError) and not database.is_local and (error.connection_invalidated or not state):
        return AwayError(
            f"the database server cannot be reached ({_first_line(original)})",
            where=database.place,
            remedy="start it, check the URL, or give a file name with --results",
        )
    return StoreError(
        f"the results database refused ({_first_line(original or error)})",
        where=database.place,
        remedy="run `kokoro-bench doctor`, or give another place with --results",
    )


def _first(error: SQLAlchemyError) -> SQLAlchemyError:
    """What failed first: SQLite takes a transaction back by itself, and then its savepoint cannot be taken back too."""
    found, before = error, error.__context__
    while before is not None and "no such savepoint" in str(found):
        if isinstance(before, SQLAlchemyError):
            found = before
        before = before.__context__
    return found


def set_aside(file: Path) -> Path:
    """Move a database and its journals to the first free `NAME.damaged-N.SUFFIX` beside it, and return the new name.

    The free name is taken by creating it, so that two processes never choose the same one.
    """
    for number in range(1, 10_000):
        target = file.with_name(f"{file.stem}.damaged-{number}{file.suffix}")
        try:
            target.open("xb").close()
        except FileExistsError:
            continue
        try:
            file.replace(target)
        except OSError:
            target.unlink()
            raise
        for journal in ("-wal", "-shm"):
            beside = file.with_name(file.name + journal)
            if beside.exists():
                beside.replace(target.with_name(target.name + journal))
        return target
    raise FileExistsError(file)


def _damaged(database: Database, *, reason: str) -> StoreError:
    file = database.file
    if file is None:
        return StoreError(f"the results database is damaged ({reason})", where=database.place)
    if not _meant_to_be_ours(file):
        return StoreError(
            "is not a SQLite database, and was left as it is",
            where=str(file),
            remedy="give another name with --results",
        )
    database.dispose()
    if identity(file) != database.identity and database.identity is not None:
        # Another process found the damage first, moved the file away and began anew: that one is sound.
        return StoreError(
            f"the results database was damaged ({reason}) and another command has already moved it aside",
            where=str(file),
            remedy="run the command again",
        )
    try:
        kept = set_aside(file)
    except OSError as error:
        return StoreError(
            f"the results database is damaged ({reason}) and cannot be moved aside ({os.strerror(error.errno or 0)})",
            where=str(file),
            remedy="move it away by hand, then run the command again",
        )
    return StoreError(
        f"the results database is damaged ({reason}); it was kept as {kept}",
        where=str(file),
        remedy=f"run the command again, which begins a new one; `sqlite3 {kept} .recover` may save what is in the old",
    )


def _meant_to_be_ours(file: Path) -> bool:
    """Whether moving `file` away can only concern a database: by its beginning, or by its name."""
    if file.suffix.lower() in SQLITE_SUFFIXES:
        return True
    try:
        with file.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines() if error is not None else []
    return lines[0] if lines else "no reason given"
