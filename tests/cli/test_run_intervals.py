"""The intervals that a run shows, through the command: scripted repetitions, whose scatter is known."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.metrics.registry import METRICS
from tests.conftest import Command

RUN = ("run", "--engine", "scripted", "--model", "scripted", "-k", "chars-12 or chars-60")


def summaries(here: Command) -> list[dict[str, Any]]:
    """All summaries of the newest run, as the JSON lines export them."""
    lines = [json.loads(line) for line in here("runs", "export", "latest", "--format", "jsonl").stdout.splitlines()]
    return [line["record"] for line in lines if line["kind"] == "summary"]


def test_two_repetitions_have_no_interval_on_any_page(here: Command, tmp_path: Path) -> None:
    found = here(*RUN, "--launches", "1", "--blocks", "2", "--targets", "rtf=0.01", "--summary", "summary.md")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "±" not in found.stdout.replace("figures without ±", "")
    assert "figures without ±: 1 value: no interval; 2 values: no interval" in found.stdout
    assert re.search(r"target missed: .*chars-12.*: rtf .*; 2 values: no interval", found.stdout)
    site = tmp_path / "reports" / "site"
    (page,) = (site / "runs").glob("*.html")
    assert "2 values: no interval" in page.read_text()
    scenario = next(page for page in (site / "scenarios").glob("*chars-12*.html"))
    assert "2 values: no interval" in scenario.read_text()
    assert "2 values: no interval" in (tmp_path / "summary.md").read_text()
    few = [each for each in summaries(here) if each["n"] < 3 and each["metric"] != "success_rate"]
    assert few
    assert not any(each["interval"] for each in few)
    here(*RUN, "--launches", "1", "--blocks", "2")
    compared = here("compare", "--html", "latest~1", "latest")
    assert "2 values: no interval / 2 values: no interval" in compared.stdout


@pytest.mark.usefixtures("no_pages")
@pytest.mark.parametrize("noise", ["0.02", "0.3", "0.9"])
def test_however_far_repetitions_lie_apart_intervals_stay_within_bounds(here: Command, noise: str) -> None:
    found = here(*RUN, "--launches", "2", "--blocks", "3", "--script", f"noise={noise}")
    assert found.returncode in (0, 1), found.stdout + found.stderr
    for each in summaries(here):
        if interval := each["interval"]:
            least, most = METRICS[each["metric"]].bounds
            assert least <= interval["low"] <= each["median"] <= interval["high"] <= most, each
            assert interval["low"] > 0 or each["minimum"] <= 0, each
    widths = [float(width) for width in re.findall(r"±([\d.]+)%", found.stdout)]
    assert all(width < 100 for width in widths)
    assert "±>" not in found.stdout


def test_a_duel_of_too_few_pairs_shows_no_interval_and_decides_nothing(here: Command, tmp_path: Path) -> None:
    sides = ("threads=1", "threads=2", "--engine", "scripted", "--model", "scripted", "--text", "chars-12")
    found = here("duel", *sides, "--launches", "1", "--blocks", "3", "--script", "noise=0.6")
    assert found.returncode == 0, found.stdout + found.stderr
    (latency,) = [line for line in found.stdout.splitlines() if re.match(r" +chars-12 +latency ", line)]
    assert re.search(r"%  +3 values: no interval  +\? inconclusive", latency)
    (page,) = (tmp_path / "reports" / "site" / "runs").glob("*.html")
    assert "3 values: no interval" in page.read_text()
    shown = here("runs", "show", "latest").stdout
    assert re.search(r"latency[^:]*: .* % \(3 values: no interval, level [\d.]+ %\)", shown)


def real_time_factors(here: Command, *options: str) -> list[dict[str, Any]]:
    """The factors of a run of three launches of three repetitions. Scripted, all of them are 0.2 and a little more."""
    found = here(*RUN, "--launches", "3", "--blocks", "3", *options)
    assert found.returncode == 0, found.stdout + found.stderr
    factors = [each for each in summaries(here) if each["metric"] == "rtf"]
    assert {each["n"] for each in factors} == {9}
    return factors


def half_width(summary: dict[str, Any]) -> float:
    """Relative to the median."""
    return float((summary["interval"]["high"] - summary["interval"]["low"]) / 2 / summary["median"])


@pytest.mark.usefixtures("no_pages")
def test_launches_that_differ_by_a_little_leave_an_interval_that_can_be_used(here: Command) -> None:
    widths, missed = [], 0
    for seed in range(6):
        for each in real_time_factors(here, "--seed", str(seed), "--script", "noise=0.05,launch_noise=0.03"):
            widths.append(half_width(each))
            # The engine's fixed 3 ms are 0.4 % of the shorter text's time, and nothing of the longer one's.
            missed += not each["interval"]["low"] <= 0.202 <= each["interval"]["high"]
    assert max(widths) < 0.12
    assert missed <= 1


@pytest.mark.usefixtures("no_pages")
def test_what_accepted_runs_showed_of_launches_narrows_later_intervals(here: Command) -> None:
    script = ("--script", "noise=0.02,launch_noise=0.006")
    before = real_time_factors(here, "--seed", "9", *script)
    assert any("shrunk towards an assumed 4 %" in each["interval"]["method"] for each in before)
    for seed in range(3):
        real_time_factors(here, "--seed", str(seed), *script)
        promoted = here("baseline", "promote", "latest")
        assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    after = real_time_factors(here, "--seed", "9", "--require", "nothing", *script)
    assert [each["median"] for each in after] == [each["median"] for each in before]
    for then, now in zip(before, after, strict=True):
        if "shrunk" in then["interval"]["method"]:
            assert "what accepted runs showed and an assumed 4 %" in now["interval"]["method"]
            assert half_width(now) < 0.8 * half_width(then)


@pytest.mark.usefixtures("no_pages")
def test_launches_far_apart_are_believed_and_nothing_presumed(here: Command) -> None:
    for each in real_time_factors(here, "--seed", "2", "--script", "noise=0.02,launch_noise=0.2"):
        assert each["interval"] is None or each["interval"]["method"] == "median, t over launches"


@pytest.mark.usefixtures("no_pages")
def test_five_accepted_runs_that_are_equal_decide_nothing_by_themselves(here: Command) -> None:
    def run(seed: str, script: str) -> dict[str, Any]:
        found = here(*RUN, "--launches", "3", "--blocks", "2", "--seed", seed, "--script", script, "--replay", "never")
        lines = [json.loads(line) for line in here("runs", "export", "latest", "--format", "jsonl").stdout.splitlines()]
        verdicts = [line["record"] for line in lines if line["kind"] == "verdict"]
        (latency,) = [each for each in verdicts if each["metric"] == "latency" and "chars-60" in each["scenario_id"]]
        return {**latency, "code": found.returncode}

    for _ in range(5):
        run("1", "noise=0.02")
        assert here("baseline", "promote", "latest").returncode == 0
    # Its repetitions scatter by 15 %, and by chance its median lies 14 % higher.
    chance = run("7", "noise=0.15")
    assert chance["change"]["point"] > 0.1
    assert (chance["kind"], chance["code"]) == ("inconclusive", 0)
    assert chance["change"]["low"] < 0 < chance["change"]["high"]
    assert "differ by less than this run's own repetitions explain" in chance["reason"]
    assert "promote runs from different days" in chance["advice"]
    slower = run("2", "noise=0.02,pace=1.3")
    assert (slower["kind"], slower["code"]) == ("regressed", 1)
    assert slower["change"]["low"] < slower["change"]["point"] < slower["change"]["high"]
