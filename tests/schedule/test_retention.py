"""Retention: raw repetitions of old runs first, never summaries, never promoted runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.core.records.profile import ProfileSheet
from harness.core.records.repetition import Block, Canary, Phase, Repetition
from harness.schedule.job import Settings
from harness.schedule.launcher import Exit, events_of
from harness.schedule.retention import Retention
from harness.store.traces import write_sheet

START = 1_767_225_600.0
DAY = 86_400.0


def with_block(bench: Any, run_id: str) -> None:
    scenario = bench.store.head(run_id).scenarios[0].id
    block = Block(
        block=0, launch=0, order=(scenario,), started_at=0.0, wall_ns=1, canary=Canary(numpy_ns=1, graph_ns=1)
    )
    repetition = Repetition(
        scenario_id=scenario, launch=0, block=0, position=0, phase=Phase.MEASURED, variant=0, characters=1,
        started_at=0.0, end_ns=1,
    )  # fmt: skip
    bench.store.add_block(run_id, block, [repetition])


def retention(bench: Any, promoted: frozenset[str] = frozenset(), **settings: Any) -> Retention:
    return Retention(
        store=bench.store,
        settings=Settings(**settings),
        machine_key="two-core",
        runner="here",
        promoted=lambda: promoted,
    )


def test_by_count_and_by_age(bench: Any, make_run: Callable[..., str]) -> None:
    runs = [make_run(bench.store, at=START + night * DAY) for night in range(5)]
    for run_id in runs:
        with_block(bench, run_id)
    now = START + 5 * DAY
    kept = retention(bench, frozenset({runs[0]}), keep_raw_runs=4, keep_raw_s=3.5 * DAY)
    assert kept.apply(now=now) == (runs[1],)
    assert kept.apply(now=now) == ()
    thinned, promoted = bench.store.load(runs[1]), bench.store.load(runs[0])
    assert thinned.repetitions == ()
    assert len(thinned.blocks) == len(thinned.summaries) == len(thinned.verdicts) == 1
    assert thinned.run.notes == ("raw repetitions were removed by retention on 2026-01-06",)
    assert len(promoted.repetitions) == 1
    assert promoted.run.notes == ()


def test_the_traces_of_a_run_are_kept_as_long_as_its_repetitions(
    bench: Any, make_run: Callable[..., str], tmp_path: Path
) -> None:
    runs = [make_run(bench.store, at=START + night * DAY) for night in range(2)]
    for run_id in runs:
        with_block(bench, run_id)
        write_sheet(tmp_path / "traces", run_id, ProfileSheet())
    kept = Retention(
        store=bench.store, settings=Settings(keep_raw_runs=1), machine_key="two-core", runner="here",
        promoted=frozenset, traces=tmp_path / "traces",
    )  # fmt: skip
    assert kept.apply(now=START + 2 * DAY) == (runs[0],)
    assert [each.name for each in (tmp_path / "traces").iterdir()] == [runs[1]]


def test_another_machines_runs_are_its_own_matter(bench: Any, make_run: Callable[..., str]) -> None:
    run_id = make_run(bench.store, at=START)
    with_block(bench, run_id)
    other = replace(bench.store.head(run_id).machine, key="other")
    foreign = make_run(bench.store, at=START + 1, machine=other)
    with_block(bench, foreign)
    assert retention(bench, keep_raw_runs=0).apply(now=START) == (run_id,)
    assert len(bench.store.load(foreign).repetitions) == 1


def test_old_logs_go_and_history_stays(bench: Any) -> None:
    bench.put()
    bench.at(START + 2.5 * 3_600)
    process = bench.launcher.started[-1]
    process.order.log.write_text("a log")
    events_of(process.order.log).write_text("")
    process.ends = Exit(code=2)
    bench.daemon.step()
    retention(bench, keep_logs_s=10 * DAY).apply(now=START + 5 * DAY)
    assert process.order.log.exists()
    retention(bench, keep_logs_s=10 * DAY).apply(now=START + 50 * DAY)
    assert list(Path(process.order.log).parent.iterdir()) == []
    [fire] = bench.fires()
    assert (fire.log, fire.reason) == ("", "exit code 2: a log")
