"""The steps on the lines of the trends: found in the book of a site, and sought again only where a line has changed."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.synthetic_history import made_run
from harness.analysis.changepoints import incremental
from harness.store.runs import RunStore
from reports.history.index import PastRun, RunIndex, packed
from reports.history.steps import find_steps
from reports.pages.write import write_site

from .conftest import keep
from .test_site import TINY, contents

RUNS = 40
SERIES = 60


def past(run: int, medians: tuple[float | None, ...], *, machine: str = "m", status: str = "complete") -> PastRun:
    return PastRun(
        id=f"{machine}{run}", fingerprint="", started_at=float(run), machine=machine, selection="", status=status,
        css="", glyph="", sentence="", subject=(), medians=packed(medians), kinds=" " * len(medians),
    )  # fmt: skip


@pytest.fixture
def run_index() -> RunIndex:
    """Sixty lines, of which the last stepped by 20 % at run 25, and one of a metric that is not judged."""
    rng = random.Random(7)  # noqa: S311 - made noise
    run_index = RunIndex(code="", keys=[*((f"s{each}", "latency") for each in range(SERIES)), ("s0", "ttfb")])
    for run in range(RUNS):
        medians = [math.exp(rng.gauss(0, 0.02)) for _ in run_index.keys]
        medians[SERIES - 1] *= 1.2 if run >= 25 else 1.0
        run_index.runs[f"m{run}"] = past(run, tuple(medians))
    return run_index


def test_a_step_is_marked_although_many_lines_are_searched(run_index: RunIndex) -> None:
    found = find_steps(run_index)
    (step,) = (each for each in found if each.scenario_id == f"s{SERIES - 1}")
    assert step.run_id == "m25"
    assert math.isclose(step.size, math.log(1.2), abs_tol=0.03)
    assert len(found) <= 3
    assert {each.metric for each in found} == {"latency"}


def test_a_line_is_searched_again_only_where_it_has_changed(
    run_index: RunIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = find_steps(run_index)
    searched: list[int] = []
    detector = incremental.change_points_of

    def spy(series: list[list[float]], **options: float) -> object:
        searched.extend(len(each) for each in series)
        return detector(series, **options)

    monkeypatch.setattr(incremental, "change_points_of", spy)
    assert find_steps(run_index) == before
    assert searched == []
    changed = run_index.runs["m7"]
    run_index.runs["m7"] = replace(changed, medians=packed([changed.figures[0], 2.0, *changed.figures[2:]]))
    assert find_steps(run_index) == before
    assert searched == [RUNS]
    del run_index.runs["m39"]
    find_steps(run_index)
    assert searched == [RUNS, *[RUNS - 1] * SERIES]
    assert len(run_index.steps) == SERIES


def test_runs_that_broke_off_and_gaps_are_no_part_of_a_line_and_machines_have_their_own(run_index: RunIndex) -> None:
    before = find_steps(run_index)
    run_index.runs["x"] = past(RUNS, (9.0,) * len(run_index.keys), status="interrupted")
    run_index.runs["y"] = past(RUNS + 1, (None,) * len(run_index.keys))
    run_index.runs["z"] = past(RUNS + 2, ())
    run_index.runs["other1"] = past(1, (50.0,) * len(run_index.keys), machine="other")
    assert find_steps(run_index) == before


def test_the_site_marks_what_it_finds_also_step_by_step(store: RunStore, tmp_path: Path) -> None:
    made = replace(TINY, steps=(replace(TINY.steps[0], night=14, where="", factor=1.5),))
    for night in range(24):
        keep(store, made_run(made, night, raw=night > 21))
    write_site(store, tmp_path / "one")
    (page,) = (tmp_path / "one" / "trends").glob("latency-*.html")
    assert page.read_text(encoding="utf-8").count('class="event step"') == 1
    keep(store, made_run(made, 24))
    write_site(store, tmp_path / "one")
    write_site(store, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
