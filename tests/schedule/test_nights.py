"""What a schedule makes of nights that it cannot decide or confirm, by the commands that a user gives."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from tests.conftest import Command

PROJECT = """
[tool.kokoro-bench]
launches = 2
blocks = 3
quality = "off"
replay = "never"
gate-metrics = ["{metric}"]
{measured}
[tool.kokoro-bench.schedule]
alerts = ["file:alerts.jsonl"]
busy-cpus = 1000.0
[tool.kokoro-bench.schedule.nightly]
cron = "30 2 * * *"
selection = "quick"
k = "{tests}"
budget = "30s"
promote = "clean"
"""


class Nights:
    """A job `nightly` of a project, run by hand."""

    def __init__(self, command: Command, root: Path) -> None:
        self.command, self.root = command, root

    def declare(self, measured: str, *, metric: str = "latency", tests: str = "chars-12 and whole") -> None:
        text = PROJECT.format(measured=measured, metric=metric, tests=tests)
        (self.root / "pyproject.toml").write_text(text, encoding="utf-8")

    def play(self, *, code: int = 0) -> str:
        """Run the job. Return what the scheduler said."""
        found = self.command("schedule", "run-now", "nightly")
        assert found.returncode == code, found.stdout + found.stderr
        return found.stdout

    def due_times(self) -> list[dict[str, Any]]:
        """The due times so far, newest first."""
        found: list[dict[str, Any]] = json.loads(self.command("schedule", "history", "--json").stdout)
        return found

    def accepted(self) -> list[str]:
        """The ids of the runs in the baseline."""
        [machine] = json.loads(self.command("baseline", "list", "--json").stdout)["machines"]
        found: list[str] = machine["runs"]
        return found


@pytest.fixture
def nights(kokoro_bench: Command, tmp_path: Path) -> Nights:
    return Nights(kokoro_bench, tmp_path)


def test_undecided_slowdown_is_not_promoted_and_its_due_time_says_why(nights: Nights) -> None:
    """One accepted run cannot decide 32 %, and the run may be a regression. Of 8 % it may not: runs differ by that."""
    for pace in (1.0, 1.32, 1.08):
        nights.declare(f'engine = "scripted"\nmodel = "scripted"\nscript = "noise=0.01,pace={pace}"')
        said = nights.play()
    last, slower, first = nights.due_times()
    assert "is promoted: " in said
    assert set(nights.accepted()) == {first["run_id"], last["run_id"]}
    assert (first["reason"], last["reason"]) == ("", "")
    reason = slower["reason"]
    assert reason.startswith("not promoted: latency of scripted.cpu.tdefault/whole/chars-12/af_heart is undecided at +")
    assert 29 < float(reason.partition(" at +")[2].partition(" ")[0]) < 35
    assert reason.endswith(", tolerance 5.0 %")
    assert "not promoted: latency" in " ".join(nights.command("schedule", "history").stdout.split())


def speech(wait_ms: float) -> Script:
    answer = Answer(steps=(Step(wait_ms=wait_ms), Step(audio_share=1.0)))
    return Script(name="test", meaning="a test's own", answers=(answer,), cycle=True)


def test_slowdown_of_server_that_no_duel_can_confirm_is_reported_and_fails_no_due_time(nights: Nights) -> None:
    with serving(speech(10)) as (url, server):
        nights.declare(f'url = "{url}"\ntext = "chars-12"', metric="ttfa", tests="endpoint")
        nights.play()
        server.script = speech(1_000)
        said = nights.play(code=1)
    confirmation, run = nights.due_times()[:2]
    assert (confirmation["job"], confirmation["confirms"]) == ("nightly/confirm", run["run_id"])
    assert (run["outcome"], confirmation["outcome"]) == ("worse", "not possible")
    reason = f"no duel could be made: what its server at {url} runs is not known"
    assert confirmation["reason"] == reason
    assert f": {reason}" in said.partition("nightly/confirm: not possible after ")[2]
    assert "– not possible" in nights.command("schedule", "history").stdout
    told = [json.loads(line) for line in (nights.root / "alerts.jsonl").read_text().splitlines()]
    assert [each["event"] for each in told] == ["alert"]
    assert {line["confirmed"] for line in told[0]["alerts"]} == {"not possible"}
