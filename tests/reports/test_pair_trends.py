"""The ratio to the accepted reference beside the absolute line, where runs replayed the reference."""

import math
import re
from dataclasses import replace
from pathlib import Path

from harness.core.records.verdict import REPLAYED, Estimate, Verdict, VerdictKind
from reports.history.index import RunIndex, index_bytes, index_of
from reports.views.headline import headline
from reports.views.pair_trends import NO_PAIRS, pair_trend
from tests.conftest import Command, Laboratory

RUN = (
    "run", "--engine", "scripted", "--model", "scripted", "--launches", "2", "--blocks", "3", "--budget", "60s",
    "-k", "chars-12 and whole",
)  # fmt: skip


def test_scenario_page_shows_ratio_to_reference(here: Command, tmp_path: Path) -> None:
    assert here(*RUN).returncode == 0
    assert here("baseline", "promote").returncode == 0
    (scenarios,) = (tmp_path / "reports/site/scenarios").iterdir()
    assert "to the reference" not in scenarios.read_text()
    here(*RUN, "--script", "pace=1.2")
    here(*RUN, "--script", "pace=1.3")
    page = next(each for each in (tmp_path / "reports/site/scenarios").iterdir() if "-whole-" in each.name).read_text()
    assert "to the reference, pair by pair (2 replays)" in page
    assert "Latency, ratio to the accepted reference:" in page

    # The second run is accepted, 20 % slower than the first; the fourth is a quarter slower than the second.
    assert here("baseline", "promote", "latest~1", "--only", "*", "--reason", "a longer style").returncode == 0
    here(*RUN, "--script", "pace=1.5")
    page = next(each for each in (tmp_path / "reports/site/scenarios").iterdir() if "-whole-" in each.name).read_text()
    said = re.search(
        r"Latency, ratio to the accepted reference, linked over 2 acceptances: (\S+) % to \+(\S+) % in", plain(page)
    )
    assert said is not None
    assert abs(float(said[2]) - 50) < 3


def plain(text: str) -> str:
    """With usual spaces before signs of percent."""
    return text.replace("\u202f", " ")


def index_with(lab: Laboratory, *verdicts: Verdict | None) -> RunIndex:
    """An index of runs of one scenario, each with one verdict on its latency."""
    data = lab.run(launches="1", blocks="1").data
    run_index = RunIndex(code="")
    for number, verdict in enumerate(verdicts):
        run = replace(data.run, id=f"run-{number}", started_at=data.run.started_at + number)
        concluded = replace(data, run=run, verdicts=(verdict,) if verdict else ())
        run_index.enter(concluded, "", headline(concluded))
    return run_index


def verdict(lab: Laboratory, kind: VerdictKind, point: float | None = None, metric: str = "latency") -> Verdict:
    scenario_id = lab.run(launches="1", blocks="1").data.run.scenarios[0].id
    if point is None:
        return Verdict(scenario_id=scenario_id, metric=metric, kind=kind, accepted="run-0")
    change = Estimate(point=point, low=point - 0.01, high=point + 0.01, level=0.99, method="made", n=12, launches=3)
    return Verdict(
        scenario_id=scenario_id, metric=metric, kind=kind, change=change, reference=f"{REPLAYED}r", accepted="run-0"
    )


def test_line_has_ratio_of_replays_and_of_accepted_subject(lab: Laboratory) -> None:
    run_index = index_with(lab, None, verdict(lab, VerdictKind.REGRESSED, 0.1), verdict(lab, VerdictKind.SAME_SUBJECT))
    run_index = index_of(index_bytes(run_index))
    place = run_index.keys.index((verdict(lab, VerdictKind.FAILED).scenario_id, "latency"))
    runs = list(run_index.runs.values())
    assert [each.ratios.get(place) for each in runs] == [None, 0.1, None]
    found = pair_trend(runs, place, title="Latency", events=())
    assert plain(found.newest) == "+10.5 % to the reference, pair by pair, in run run-1 (1 replay)"
    assert "Latency, ratio to the accepted reference: +0.0 % to +10.5 % in 3 runs." in plain(found.chart)
    assert pair_trend(runs[:1], place, title="Latency", events=()) == NO_PAIRS


def test_ratio_has_sign_of_value_and_follows_its_key_into_other_index(lab: Laboratory) -> None:
    one = index_with(lab, verdict(lab, VerdictKind.IMPROVED, -0.1, metric="throughput"))
    other = RunIndex(code="", keys=[("another", "latency"), *one.keys[::-1]])
    other.take(one)
    (run,) = other.runs.values()
    ((place, ratio),) = run.ratios.items()
    assert other.keys[place][1] == "throughput"
    assert math.isclose(ratio, 0.1), "higher is better: the value rose"


def test_ratios_are_linked_over_acceptances(lab: Laboratory) -> None:
    """10.5 % slower than the first reference, accepted, then 22.1 % slower than that: 34.99 % in all."""
    worse = verdict(lab, VerdictKind.REGRESSED, 0.1)
    run_index = index_with(
        lab, None, worse, replace(verdict(lab, VerdictKind.REGRESSED, 0.2), accepted="run-1"), replace(worse)
    )
    other = RunIndex(code="", keys=[("another", "latency"), *run_index.keys[::-1]])
    other.take(index_of(index_bytes(run_index)))
    place = other.keys.index((worse.scenario_id, "latency"))
    found = pair_trend(list(other.runs.values()), place, title="Latency", events=())
    assert "reference, linked over 2 acceptances: +0.0 % to +35.0 % in 4 runs." in plain(found.chart)
