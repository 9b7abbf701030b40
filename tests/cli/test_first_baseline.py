"""What one accepted run decides, through the command: memory repeats, times do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, Laboratory

RUN = ("run", "--engine", "scripted", "--model", "scripted", "-k", "chars-12 or load", "--launches", "3",
       "--blocks", "3")  # fmt: skip
NOISE = "noise=0.02,launch_noise=0.01"
QUIET = "memory_noise=0.002"
"""The scripted machine: times scatter by 2 %, and memory differs by 0.2 % between starts."""


@pytest.fixture
def accepted(here: Command) -> Command:
    """One accepted run."""
    run = here(*RUN, "--seed", "1", "--script", f"{NOISE},{QUIET}")
    assert run.returncode == 0, run.stdout + run.stderr
    promoted = here("baseline", "promote", "latest")
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    return here


def verdicts(here: Command, *, seed: str, script: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of a run with that script, and its verdicts on memory."""
    found = here(*RUN, "--replay", "never", "--seed", seed, "--script", f"{NOISE},{script}")
    lines = [json.loads(line) for line in here("runs", "export", "latest", "--format", "jsonl").stdout.splitlines()]
    records = [line["record"] for line in lines if line["kind"] == "verdict"]
    memory = [each for each in records if each["metric"] in ("rss_peak", "rss_loaded")]
    assert {each["metric"] for each in memory} == {"rss_peak", "rss_loaded"}
    return found.returncode, memory


@pytest.mark.usefixtures("no_pages")
def test_one_accepted_run_decides_whether_memory_grew_by_five_percent(accepted: Command) -> None:
    code, memory = verdicts(accepted, seed="2", script=QUIET)
    assert code == 0
    assert {each["kind"] for each in memory} == {"unchanged"}
    assert all("1 accepted run; runs are assumed to differ by 0.5 %" in each["reason"] for each in memory)
    code, memory = verdicts(accepted, seed="4", script=f"{QUIET},memory=1.02")
    assert code == 0
    assert "regressed" not in {each["kind"] for each in memory}
    for factor in ("1.05", "1.1"):
        code, memory = verdicts(accepted, seed="3", script=f"{QUIET},memory={factor}")
        assert code == 1
        assert {each["kind"] for each in memory} == {"regressed"}, memory


@pytest.mark.usefixtures("no_pages")
def test_starts_whose_memory_differs_override_what_is_presumed(accepted: Command) -> None:
    code, memory = verdicts(accepted, seed="5", script="memory=1.05,memory_noise=0.06")
    assert code == 0
    assert {each["kind"] for each in memory} == {"inconclusive"}


@pytest.mark.usefixtures("no_pages")
def test_a_run_with_the_accepted_values_points_to_neither_side(here: Command) -> None:
    whole = ("run", "--engine", "scripted", "--budget", "30s")
    assert here(*whole).returncode == 0
    assert here("baseline", "promote", "latest").returncode == 0
    again = here(*whole, "--replay", "never")
    assert again.returncode == 0, again.stdout + again.stderr
    # The same seed gives the same values.
    assert "No change is shown" in again.stdout
    assert "symmetry" not in again.stdout
    slower = here(*whole, "--replay", "never", "--script", "pace=1.03")
    assert "symmetry: 8 of 8 scenarios point to the worse" in slower.stdout


def test_undecided_slowdown_is_named_when_a_person_accepts_it_and_not_accepted_by_a_program(
    here: Command, tmp_path: Path
) -> None:
    lab = Laboratory(tmp_path)
    lab.promote(lab.run(script="noise=0.01").data)
    (tmp_path / "pyproject.toml").write_text("")
    data = lab.run(script="noise=0.01,pace=1.32", replay="never", **{"gate-metrics": "latency"}).data
    clean = here("baseline", "promote", "--clean")
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.startswith(f"{data.run.id} is not promoted: latency of scripted.cpu.tdefault/whole/")
    assert clean.stdout.endswith(" (and 1 more)\n")
    left = json.loads(here("baseline", "promote", "--clean", "--json").stdout)
    assert clean.stdout == f"{data.run.id} is not promoted: {left['not_promoted']}\n"
    undecided = json.loads(here("baseline", "diff", "--json").stdout)["undecided"]
    assert [each["metric"] for each in undecided] == ["latency", "latency"]
    assert all(each["change"]["point"] > each["tolerance"] > 0 for each in undecided)
    told = [f"not known to be unchanged: latency of {each['scenario_id']} is undecided at +" for each in undecided]
    assert all(sentence in here("baseline", "diff").stdout for sentence in told)
    only = here("baseline", "promote", "--only", "*/chars-12/*").stdout
    assert [sentence in only for sentence in told] == ["chars-12/" in sentence for sentence in told]
    assert f"accepted {data.run.id}" in only
