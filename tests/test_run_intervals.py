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
    assert re.search(r"latency: .* % \(3 values: no interval, level [\d.]+ %\)", shown)
