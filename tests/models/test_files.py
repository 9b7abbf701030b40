import hashlib
import os
from pathlib import Path

import pytest

from harness.core.errors import ModelError
from harness.core.files import write_atomically
from harness.models.files import SETTLED_S, Digests, joined_digest, sha256_of


def aged(path: Path, content: bytes, *, seconds: float = 60) -> Path:
    path.write_bytes(content)
    changed = path.stat().st_mtime - seconds
    os.utime(path, (changed, changed))
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_digest_is_the_files(tmp_path: Path) -> None:
    assert sha256_of(aged(tmp_path / "a", b"abc")) == sha256(b"abc")


def test_a_remembered_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests, path = Digests(tmp_path / "digests"), aged(tmp_path / "a", b"abc")
    digests.of(path)
    monkeypatch.setattr("harness.models.files.sha256_of", lambda _: pytest.fail("it was read"))
    assert digests.of(path) == sha256(b"abc")
    assert Digests(tmp_path / "digests").of(path) == sha256(b"abc")


@pytest.mark.parametrize("change", ["content", "time", "inode"])
def test_a_changed_file_is_read_again(tmp_path: Path, change: str) -> None:
    digests, path = Digests(tmp_path / "digests"), aged(tmp_path / "a", b"abc")
    digests.of(path)
    then = path.stat()
    if change == "content":
        aged(path, b"abcd")
    elif change == "time":
        path.write_bytes(b"xyz")
    else:
        aged(tmp_path / "b", b"xyz").replace(path)
        os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert digests.of(path) == sha256(path.read_bytes())


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    digests, path = Digests(tmp_path / "digests"), aged(tmp_path / "a", b"abc", seconds=SETTLED_S / 4)
    now = path.stat()
    digests.of(path)
    path.write_bytes(b"xyz")  # within the same tick, as far as the folder can tell
    os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns))
    assert digests.of(path) == sha256(b"xyz")


def test_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    digests, path = Digests(tmp_path / "digests"), aged(tmp_path / "a", b"abc")
    digests.of(path)
    for entry in (tmp_path / "digests").iterdir():
        entry.write_bytes(b"{")
    assert digests.of(path) == sha256(b"abc")


def test_a_digest_that_cannot_be_kept_is_still_given(tmp_path: Path) -> None:
    (tmp_path / "digests").write_bytes(b"a file where the folder should be")
    assert Digests(tmp_path / "digests").of(aged(tmp_path / "a", b"abc")) == sha256(b"abc")


def test_a_missing_file_has_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a: no such file — check the path"):
        Digests(tmp_path / "digests").of(tmp_path / "a")


def test_weights_in_further_files_change_the_digest() -> None:
    assert joined_digest(["aa"]) == "aa"
    assert len({joined_digest(["aa"]), joined_digest(["aa", "bb"]), joined_digest(["aa", "bc"])}) == 3


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def cut(_: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("os.fsync", cut)
    with pytest.raises(OSError, match="the disk is gone"):
        write_atomically(path, b"new")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a", b"old")]
