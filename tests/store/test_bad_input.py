"""What people and disks do to a results database: each costs one line that says what, where and what next."""

import builtins
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError

from harness.core.errors import StoreError
from harness.core.records.run import RunData, RunRecord
from harness.store.errors import explain, set_aside
from harness.store.runs import RunStore, open_store

Put = Callable[[RunStore, RunData], str]


@pytest.fixture
def stored(tmp_path: Path, small_run: RunData, put: Put) -> Path:
    """A closed database that holds a run."""
    file = tmp_path / "results.sqlite"
    with open_store(file) as store:
        put(store, small_run)
    return file


def refused(place: str | Path) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(place, lock_wait_s=0.1)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


class TestFullDisk:
    def test_what_was_stored_before_is_kept(
        self, tiny_disk: Path, make_run: Callable[..., RunRecord], make_block: Any, make_repetition: Any
    ) -> None:
        file = tiny_disk / "results.sqlite"
        with open_store(file) as store:
            run_id = store.begin(make_run())
            blocks: list[int] = []

            def fill() -> None:
                for number in range(1_000):
                    store.add_block(run_id, make_block(number), [make_repetition(end_ns=n * 7919) for n in range(12)])
                    blocks.append(number)

            with pytest.raises(StoreError, match="the disk") as caught:
                fill()
            assert caught.value.where == str(file)
            assert "what was stored before is safe" in caught.value.what
            assert "free some space" in caught.value.remedy or "check the space left" in caught.value.remedy
            assert 0 < len(blocks) < 1_000
            data = store.load(run_id)
        assert [block.block for block in data.blocks] == blocks
        assert len(data.repetitions) == 12 * len(blocks)

    def test_a_database_that_may_not_grow(self, stored: Path, make_block: Any, make_repetition: Any) -> None:
        """The same without the right to mount: SQLite itself says that it is full."""
        with open_store(stored) as store:
            run_id = store.resolve("latest")
            before = store.load(run_id)
            with store._database.writers.begin() as connection:
                connection.exec_driver_sql("PRAGMA max_page_count=1")  # at least as many as there are
            with pytest.raises(StoreError, match="the disk is full; what was stored before is safe"):
                store.add_block(run_id, make_block(9), [make_repetition(end_ns=n * 7919) for n in range(1_000)])
            assert store.load(run_id) == before

    def test_no_room_to_begin_with(self, tiny_disk: Path) -> None:
        (tiny_disk / "filler").write_bytes(b"x" * 256 * 1024)
        message = refused(tiny_disk / "results.sqlite")
        assert "the disk" in message or "cannot be opened" in message


class TestReadOnly:
    def test_a_directory_that_may_not_be_written(self, tiny_disk: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
        message = refused(tiny_disk / "results.sqlite")
        assert message.startswith(f"{tiny_disk / 'results.sqlite'}: the results database cannot be opened")
        assert "make the file and its directory readable and writable" in message

    def test_a_directory_that_cannot_be_made(self, tiny_disk: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
        message = refused(tiny_disk / "results" / "results.sqlite")
        assert message.startswith(f"{tiny_disk / 'results'}: the directory for the results cannot be made")

    @pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="permissions do not bind this user")
    def test_a_file_that_may_not_be_written(self, stored: Path) -> None:
        stored.chmod(0o444)
        stored.parent.chmod(0o555)
        try:
            assert "the results database cannot be" in refused(stored)
        finally:
            stored.parent.chmod(0o755)


class TestDamage:
    """Kept aside, never overwritten, never lost."""

    def test_a_file_that_is_no_database(self, stored: Path) -> None:
        stored.write_bytes(b"all work and no play " * 100)
        message = refused(stored)
        kept = stored.with_name("results.damaged-1.sqlite")
        assert message.startswith(
            f"{stored}: the results database is damaged (file is not a database); it was kept as {kept}"
        )
        assert "run the command again, which begins a new one" in message
        assert kept.read_bytes() == b"all work and no play " * 100
        with open_store(stored) as store:
            assert store.list() == ()

    def test_a_file_cut_short(self, stored: Path) -> None:
        whole = stored.read_bytes()
        stored.write_bytes(whole[: len(whole) // 2])
        assert "the results database is damaged" in refused(stored)
        assert stored.with_name("results.damaged-1.sqlite").read_bytes() == whole[: len(whole) // 2]

    def test_damage_that_shows_only_later(self, stored: Path) -> None:
        content = bytearray(stored.read_bytes())
        content[4_096 * 3 :] = b"\xff" * (len(content) - 4_096 * 3)
        stored.write_bytes(content)
        with pytest.raises(StoreError, match="the results database is damaged"), open_store(stored) as store:
            store.load(store.resolve("latest"))
        assert stored.with_name("results.damaged-1.sqlite").read_bytes() == content
        assert not stored.exists()

    def test_a_second_damaged_file_does_not_replace_the_first(self, stored: Path) -> None:
        for text in (b"first " * 200, b"second " * 200):
            stored.write_bytes(text)
            refused(stored)
        assert stored.with_name("results.damaged-1.sqlite").read_bytes() == b"first " * 200
        assert stored.with_name("results.damaged-2.sqlite").read_bytes() == b"second " * 200

    def test_the_journals_go_with_their_database(self, stored: Path) -> None:
        for journal in ("-wal", "-shm"):
            stored.with_name(stored.name + journal).write_text(journal)
        kept = set_aside(stored)
        assert kept == stored.with_name("results.damaged-1.sqlite")
        for journal in ("-wal", "-shm"):
            assert kept.with_name(kept.name + journal).read_text() == journal
        assert len(list(stored.parent.iterdir())) == 3

    def test_what_another_command_has_begun_anew_is_not_moved(self, stored: Path, small_run: RunData, put: Put) -> None:
        with open_store(stored) as store:
            stored.rename(stored.with_name("moved-by-another-command.sqlite"))
            with open_store(stored) as fresh:
                put(fresh, small_run)
            corrupt = sqlite3.DatabaseError("database disk image is malformed")
            corrupt.sqlite_errorname = "SQLITE_CORRUPT"
            error = explain(DatabaseError("SELECT 1", {}, corrupt), store._database)
            assert error.what == (
                "the results database was damaged (database disk image is malformed)"
                " and another command has already moved it aside"
            )
            assert error.remedy == "run the command again"
        with open_store(stored) as fresh:
            assert fresh.load(fresh.resolve("latest")) == small_run

    def test_where_it_cannot_be_moved_it_says_so(self, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        stored.write_bytes(b"no database " * 100)

        def refuse(*_paths: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "replace", refuse)
        message = refused(stored)
        assert "cannot be moved aside (Permission denied)" in message
        assert "move it away by hand" in message
        assert stored.read_bytes() == b"no database " * 100
        assert [path.name for path in stored.parent.iterdir()] == ["results.sqlite"]

    def test_a_damaged_record_is_named_and_nothing_is_moved(self, stored: Path) -> None:
        with sqlite3.connect(stored) as connection:
            connection.execute("UPDATE bench_repetitions SET payload = x'00' WHERE key = 3")
        connection.close()
        with open_store(stored) as store:
            with pytest.raises(StoreError, match="a Repetition in the results database cannot be read"):
                store.load(store.resolve("latest"))
            assert len(store.list()) == 1


class TestWrongPlace:
    def test_directory_as_database_is_refused_with_a_file_name(self, tmp_path: Path) -> None:
        assert refused(tmp_path) == (
            f"{tmp_path}: is a directory, and the results database is a file — give {tmp_path / 'results.sqlite'}"
        )

    def test_a_file_where_a_directory_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "results").write_text("")
        assert "the directory for the results cannot be made" in refused(tmp_path / "results" / "results.sqlite")

    def test_another_file_is_left_as_it_is(self, tmp_path: Path) -> None:
        notes = tmp_path / "notes.txt"
        notes.write_text("remember the milk\n" * 50)
        assert refused(notes) == (
            f"{notes}: is not a SQLite database, and was left as it is — give another name with --results"
        )
        assert notes.read_text() == "remember the milk\n" * 50

    @pytest.mark.parametrize(
        ("url", "complaint"),
        [
            ("nonsense://host/name", "the database system 'nonsense' is not known"),
            ("postgresql://user:secret@host:port/name", "this is not a database URL"),
            ("sqlite:///file:results.sqlite?mode=ro&uri=true", "a SQLite URL with options is not supported"),
        ],
    )
    def test_bad_url_is_refused_without_its_password(self, url: str, complaint: str) -> None:
        message = refused(url)
        assert complaint in message
        assert "secret" not in message

    def test_a_driver_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def without(name: str, *rest: Any) -> Any:
            if name.partition(".")[0] == "psycopg":
                raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
            return real(name, *rest)

        monkeypatch.delitem(sys.modules, "psycopg", raising=False)
        monkeypatch.setattr(builtins, "__import__", without)
        message = refused("postgresql://user:secret@host/name")
        assert message == (
            "postgresql+psycopg://user:***@host/name: the driver for postgresql+psycopg is not installed "
            "(No module named 'psycopg') — pip install 'kokoro-bench[postgres]'"
        )

    def test_a_server_that_is_away(self) -> None:
        pytest.importorskip("psycopg")
        message = refused("postgresql://user:secret@127.0.0.1:1/name")
        assert message.startswith(
            "postgresql+psycopg://user:***@127.0.0.1:1/name: the database server cannot be reached"
        )
        assert "secret" not in message

    def test_a_server_without_that_database(self, server_url: str) -> None:
        message = refused(server_url.rpartition("/")[0] + "/no_such_database")
        assert "the server has no such database" in message or "cannot be reached" in message
        assert 'database "no_such_database" does not exist' in message


def test_a_writer_that_never_ends_is_named(stored: Path, make_run: Callable[..., RunRecord]) -> None:
    with open_store(stored) as store, store._database.writers.begin(), open_store(stored, lock_wait_s=0.1) as other:
        with pytest.raises(StoreError, match="another process has held the results database for too long") as caught:
            other.begin(make_run(id="late"))
        assert caught.value.remedy == "wait for it to end, or give another place with --results"
