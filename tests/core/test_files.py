"""Files that are written as a whole, on a disk that has no space left."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.files import append_whole

LIMIT = 1_000


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond the limit: a write across it is cut, and one behind it refused, as by a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("there", [LIMIT - 1, LIMIT])
def test_append_adds_nothing_if_space_does_not_suffice(tmp_path: Path, there: int) -> None:
    file = tmp_path / "lines"
    file.write_bytes(bytes(there))
    with pytest.raises(OSError, match=os.strerror(28) if there < LIMIT else "File too large"):
        append_whole(file, b"two")
    assert file.read_bytes() == bytes(there)


def test_append_adds_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    append_whole(file, b"one")
    append_whole(file, b"two")
    assert file.read_bytes() == b"onetwo"
