"""The temporary folder of a command: made for it and its workers, removed with it, and after a kill by the next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.scratch import PREFIX
from tests.forking import Started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks and kills are POSIX's")
ONE = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "1", "--blocks", "1", "-k", "chars-12")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The temporary folder of the machine."""
    found = tmp_path / "temporary"
    found.mkdir()
    return found


def own(temporary: Path) -> list[Path]:
    return sorted(temporary.glob(f"{PREFIX}*"))


def serving(temporary: Path, folder: Path, environment: dict[str, str]) -> Started:
    """A command that goes on until it is ended."""
    server = Started(
        *("mock-server", "steady", "--port", "0"),
        cwd=folder, env=environment | {"TMPDIR": str(temporary)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stdout.readline()
    return server


def run(temporary: Path, folder: Path, environment: dict[str, str]) -> None:
    """A command that comes to its end."""
    command = [sys.executable, "-m", "harness.cli", *ONE]
    subprocess.run(
        command, cwd=folder, env=environment | {"TMPDIR": str(temporary)}, check=True, stdout=subprocess.DEVNULL
    )


def test_what_a_killed_command_left_is_removed_by_the_next_and_what_a_living_one_uses_is_not(
    temporary: Path, tmp_path: Path, user_environment: dict[str, str]
) -> None:
    with serving(temporary, tmp_path, user_environment) as killed:
        (left, _lock) = own(temporary)
        (left / "libespeak-ng.so").touch()
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    with serving(temporary, tmp_path, user_environment) as living:
        assert left not in own(temporary)
        before = own(temporary)
        assert len(before) == 2
        run(temporary, tmp_path, user_environment)
        assert own(temporary) == before
        living.terminate()
    assert own(temporary) == []


def test_a_command_that_another_started_has_one_beside_it(
    temporary: Path, tmp_path: Path, user_environment: dict[str, str]
) -> None:
    with serving(temporary, tmp_path, user_environment) as outer:
        (folder, _lock) = own(temporary)
        with serving(folder, tmp_path, user_environment) as inner:
            assert len(own(temporary)) == 4
            assert own(folder) == []
            outer.send_signal(signal.SIGKILL)
            outer.wait()
            run(temporary, tmp_path, user_environment)
            assert len(own(temporary)) == 2
            inner.terminate()
    assert own(temporary) == []
