"""One measuring process at a time, by a lock that dies with its holder."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import harness
from harness.core.clock import ScriptedClock, SystemClock
from harness.measure.system.lock import Holder, MachineTakenError, Place, exclusive_measurement, holder

CHILD = """
import sys, time
from pathlib import Path
from harness.core.clock import SystemClock
from harness.measure.system.lock import Place, exclusive_measurement
place = Place(root=Path(sys.argv[1]), machine_key="machine")
with exclusive_measurement(place, what="a child", wait_s=0, clock=SystemClock(), report=print):
    print("measuring", flush=True)
    time.sleep(600)
"""


def place_of(root: Path) -> Place:
    return Place(root=root, machine_key="machine")


def quiet(_text: str) -> None:
    """Nothing is said."""


def child(root: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(Path(harness.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "measuring\n"
    return process


def test_a_second_is_told_who_measures_and_gives_up(tmp_path: Path) -> None:
    with child(tmp_path) as process:
        clock, said = ScriptedClock(), []
        with (
            pytest.raises(MachineTakenError, match=f"waited 3 s: process {process.pid} \\(a child, since "),
            exclusive_measurement(place_of(tmp_path), what="us", wait_s=3.0, clock=clock, report=said.append),
        ):
            pytest.fail("two measured at once")
        assert clock.elapsed_ns == 3_000_000_000
        assert len(said) == 1
        assert "waiting up to 3 s" in said[0]
        found = holder(place_of(tmp_path))
        assert found is not None
        assert (found.pid, found.what) == (process.pid, "a child")
        process.kill()


def test_a_kill_leaves_no_lock_behind(tmp_path: Path) -> None:
    with child(tmp_path) as process:
        process.kill()
    assert holder(place_of(tmp_path)) is None
    with exclusive_measurement(place_of(tmp_path), what="us", wait_s=0.0, clock=SystemClock(), report=quiet):
        assert holder(place_of(tmp_path)) == Holder(
            pid=os.getpid(), since=pytest.approx(SystemClock().wall(), abs=60), what="us"
        )
    assert holder(place_of(tmp_path)) is None
    assert not place_of(tmp_path).note.exists()


def test_who_waits_goes_on_when_the_other_ends(tmp_path: Path) -> None:
    with child(tmp_path) as process:
        timer = threading.Timer(0.5, process.kill)
        timer.start()
        with exclusive_measurement(place_of(tmp_path), what="us", wait_s=60.0, clock=SystemClock(), report=quiet):
            assert process.wait() != 0
        timer.join()


def test_machines_that_share_a_cache_do_not_wait_for_one_another(tmp_path: Path) -> None:
    other = Place(root=tmp_path, machine_key="other")
    with child(tmp_path) as process:
        with exclusive_measurement(other, what="us", wait_s=0.0, clock=SystemClock(), report=quiet):
            pass
        process.kill()


def test_a_holder_without_a_note_still_holds(tmp_path: Path) -> None:
    with child(tmp_path) as process:
        place_of(tmp_path).note.unlink()
        found = holder(place_of(tmp_path))
        assert found is not None
        assert found.pid == 0
        process.kill()


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(MachineTakenError, match="cannot be used"),
        exclusive_measurement(place_of(tmp_path / "file"), what="us", wait_s=0, clock=ScriptedClock(), report=quiet),
    ):
        pytest.fail("measured without a lock")
