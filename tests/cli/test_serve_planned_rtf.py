"""`serve --planned-rtf`: what a served replica plans its segments for, as it prints it and as /status has it."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.engines.pooled.planned_rtf import MARGIN, PLANNED
from harness.engines.pooled.splitter import TAIL, Plan
from tests import forking
from tests.conftest import Command

Said = tuple[str, dict[str, Any]]
"""What it printed once it was ready, and /status."""
SLOW = """
import sys
from harness.engines.pooled import planned_rtf

planned_rtf._lowest = lambda runs: {29: 1.4, 51: 1.2}
from harness.cli import main
main(sys.argv[1:])
"""
"""The command on a machine that takes so long for each second of speech."""
SAID = "segments are planned for a real-time factor of "


@pytest.fixture
def serve(tmp_path: Path, user_environment: dict[str, str]) -> Iterator[Callable[..., Said]]:
    processes: list[subprocess.Popen[str]] = []

    def start(*options: str, program: str = "") -> Said:
        command = ("serve", "--model", "replica-small", "--port", "0", "--threads", "1", *options)
        given: Any = {"cwd": tmp_path, "env": user_environment, "stdout": subprocess.PIPE, "text": True}
        if program:
            process = subprocess.Popen([sys.executable, "-c", program, *command], **given)
        else:
            process = forking.Started(*command, **given)
        processes.append(process)
        assert process.stdout is not None
        address = process.stdout.readline().split(" at ")[1].strip()
        return process.stdout.readline(), httpx.get(f"{address}/status").json()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("sessions", ["1", "2"])
def test_it_is_measured_at_the_warm_up_on_segments_of_two_lengths(serve: Callable[..., Said], sessions: str) -> None:
    said, status = serve("--sessions", sessions)
    found = status["planned_rtf"]
    assert found["source"] == "measured"
    short, longer = found["segments"]
    assert TAIL <= short["phonemes"] < longer["phonemes"]
    assert min(short["rtf"], longer["rtf"]) > 0
    planned, slowest = found["planned"], max(short["rtf"], longer["rtf"])
    assert planned in PLANNED
    assert planned >= MARGIN * slowest or planned == PLANNED[-1]
    lower = [value for value in PLANNED if value < planned]
    assert all(value < MARGIN * slowest for value in lower), "the lowest that is high enough"
    assert status["options"]["planned_rtf"] == f"{planned:g}"
    assert said.startswith(f"{SAID}{planned:g}")
    shown = re.findall(r"([\d.]+) with (\d+) phonemes", said)
    assert shown == [(f"{each['rtf']:.2f}", str(each["phonemes"])) for each in (short, longer)]
    assert (f"; --planned-rtf {planned:g} repeats it" in said) == found["keeps_up"]


def test_a_machine_that_is_slower_than_playback_is_told(serve: Callable[..., Said]) -> None:
    said, status = serve(program=SLOW)
    assert said == (
        f"{SAID}1, but this machine cannot keep up with playback, which will stop within texts: "
        "1.40 with 29 phonemes, 1.20 with 51 phonemes\n"
    )
    assert status["planned_rtf"]["keeps_up"] is False


def test_a_given_one_is_not_measured(serve: Callable[..., Said]) -> None:
    said, status = serve("--planned-rtf", "0.65")
    assert said == f"{SAID}0.65, as given\n"
    assert status["planned_rtf"] == {"planned": 0.65, "source": "given", "segments": [], "keeps_up": True}
    assert status["options"]["planned_rtf"] == "0.65"


def test_without_a_warm_up_it_is_the_default(serve: Callable[..., Said]) -> None:
    said, status = serve("--no-warm-up")
    assert said == f"{SAID}{Plan().rtf:g}, the default: none was measured\n"
    assert (status["planned_rtf"]["planned"], status["planned_rtf"]["source"]) == (Plan().rtf, "default")


@pytest.mark.parametrize("value", ["0.1", "1.1", "automatic"])
def test_anything_else_is_refused(kokoro_bench: Command, value: str) -> None:
    found = kokoro_bench("serve", "--planned-rtf", value)
    assert found.returncode == 2
    assert f"Invalid value for '--planned-rtf': {value if value[0].isdigit() else repr(value)} is not" in found.stderr
