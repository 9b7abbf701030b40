"""The differences between database systems: setting up connections, beginning transactions, copying a database.

SQLite runs in WAL mode with `synchronous=NORMAL`: a killed process loses nothing that was committed; a power cut may
lose the last commits, but does not damage the file. Readers do not wait for writers. A writer takes its lock at the
start of its transaction (`BEGIN IMMEDIATE`), so that two runs queue up instead of failing half-way. On PostgreSQL a
reader sees one moment (`REPEATABLE READ`), as in SQLite.
"""

import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    Engine,
    Integer,
    StaticPool,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from harness.core.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

ROW_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")
"""An automatic key that may exceed 32 bits. SQLite numbers rows only if the column's type is exactly INTEGER."""

CLUSTERED: Final[Mapping[str, Any]] = MappingProxyType({"sqlite_with_rowid": False})
"""Options of a table that is stored in the order of its primary key, if the system supports it."""

SQLITE_SUFFIXES: Final = (".sqlite", ".sqlite3", ".db")
"""Endings of the names of SQLite databases."""

_WRITES: Final = "kokoro_bench_writes"
_MIGRATION_LOCK: Final = 0x6B6F6B6F726F  # "kokoro", PostgreSQL's advisory locks being numbers
_SWITCH_PAUSE_S: Final = 0.005
_CACHE_KIB: Final = 8192
"""Page cache (KiB). A run's summaries are spread over one page per series, so reading successive runs reuses pages."""
_EXTRAS: Final = {"postgresql": "pip install 'kokoro-bench[postgres]'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIdentity:
    """Identifies an opened file, to detect that another file has replaced it under the same name."""

    device: int
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Two views of one pool of connections, and the location as text without a password. `file`: None for a server."""

    readers: Engine
    writers: Engine
    place: str
    file: Path | None
    identity: FileIdentity | None

    @property
    def is_local(self) -> bool:
        """Whether only processes of this machine can write to it."""
        return self.readers.dialect.name == "sqlite"

    def dispose(self) -> None:
        """Close every connection."""
        self.readers.dispose()


def connect(url_or_path: str | Path, *, lock_wait_s: float) -> Database:
    """A database by URL or by file name. Nothing is read yet. Raises StoreError for an invalid location."""
    url = _url(url_or_path)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, lock_wait_s=lock_wait_s)
    return _server(url)


def lock_for_migration(connection: Connection) -> None:
    """Block other migrations of this database until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")


def copy_file(database: Database, target: Path) -> None:
    """Copy the committed contents of a SQLite database into `target`, which must not exist."""
    import sqlite3

    with closing(sqlite3.connect(database.place)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def give_back_space(file: Path) -> None:
    """Shrink a SQLite file after a deletion, if no other process uses it; otherwise a later deletion does it."""
    import sqlite3

    with closing(sqlite3.connect(file, isolation_level=None)) as connection, suppress(sqlite3.OperationalError):
        # As a script, because the driver steps a statement without columns only once, and each step frees one page.
        connection.executescript("PRAGMA busy_timeout=0; PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")


def _url(url_or_path: str | Path) -> URL:
    text = str(url_or_path)
    if isinstance(url_or_path, Path) or ("://" not in text and not text.startswith("sqlite:")):
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise StoreError(
            "this is not a database URL",
            where=text.rpartition("@")[2],  # what stands before it may be a password
            remedy="give a file name, or a URL like postgresql://user@host/name",
        ) from error
    # SQLAlchemy's own choice for the bare name has changed over the years; ours is the driver that the extra installs.
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    return url


def _sqlite(url: URL, *, lock_wait_s: float) -> Database:
    name = url.database or ""
    if name in {"", ":memory:"}:
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
        _watch_sqlite(engine, lock_wait_s=lock_wait_s)
        return _database(engine, place="memory", file=None)
    if url.query:
        raise StoreError(
            "a SQLite URL with options is not supported",
            where=url.render_as_string(),
            remedy="give the file name alone",
        )
    file = Path(name)
    _require_usable(file)
    engine = create_engine(url, connect_args={"timeout": lock_wait_s})
    _watch_sqlite(engine, lock_wait_s=lock_wait_s)
    return _database(engine, place=str(file), file=file)


def _require_usable(file: Path) -> None:
    if file.is_dir():
        raise StoreError(
            "is a directory, and the results database is a file",
            where=str(file),
            remedy=f"give {file / 'results.sqlite'}",
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the directory for the results cannot be made ({error.strerror})",
            where=str(file.parent),
            remedy="give another place with --results",
        ) from error


def _server(url: URL) -> Database:
    place = url.render_as_string(hide_password=True)
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except NoSuchModuleError as error:
        raise StoreError(
            f"the database system {url.drivername!r} is not known",
            where=place,
            remedy="give a file name, or a URL like postgresql://user@host/name",
        ) from error
    except ImportError as error:
        raise StoreError(
            f"the driver for {url.drivername} is not installed ({error})",
            where=place,
            remedy=_EXTRAS.get(url.get_backend_name(), f"pip install {error.name or url.get_driver_name()}"),
        ) from error
    return _database(engine, place=place, file=None)


def _database(engine: Engine, *, place: str, file: Path | None) -> Database:
    readers = engine
    if engine.dialect.name == "postgresql":
        readers = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    writers = engine.execution_options(**{_WRITES: True})
    return Database(readers=readers, writers=writers, place=place, file=file, identity=identity(file))


def identity(file: Path | None) -> FileIdentity | None:
    """The identity of the file that now has this name; None if there is none."""
    if file is None:
        return None
    try:
        stat = file.stat()
    except OSError:
        return None
    return FileIdentity(device=stat.st_dev, inode=stat.st_ino)


def _watch_sqlite(engine: Engine, *, lock_wait_s: float) -> None:
    # The driver's own transactions begin late and leave schema changes out; so it begins none, and we begin all.
    event.listen(engine, "connect", partial(_set_up_sqlite, lock_wait_s=lock_wait_s))
    event.listen(engine, "begin", _begin_sqlite)


def _set_up_sqlite(connection: "sqlite3.Connection", _record: object, *, lock_wait_s: float) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        # Takes effect before the first table is made; afterwards it would only wait for whoever is writing.
        if cursor.execute("PRAGMA page_count").fetchone() == (0,):
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        _enter_wal_mode(cursor, lock_wait_s=lock_wait_s)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    finally:
        cursor.close()


def _enter_wal_mode(cursor: "sqlite3.Cursor", *, lock_wait_s: float) -> None:
    """Switch the file to WAL mode. Wait if another process does the same.

    SQLite's own waiting (the driver's `timeout`) does not cover this switch: if two processes open a new file at the
    same moment, one of them gets "database is locked" at once.
    """
    import sqlite3

    until = time.monotonic() + lock_wait_s
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # Only the lower byte: during another process's recovery the upper one is set (SQLITE_BUSY_RECOVERY).
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            time.sleep(_SWITCH_PAUSE_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
