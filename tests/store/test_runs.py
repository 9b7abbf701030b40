from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from harness.core.errors import StoreError, UsageError
from harness.core.records.repetition import Block, Launch, Memory, Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.run import RunData, RunOutline, RunRecord, RunStatus
from harness.core.records.verdict import Median, Summary, TargetResult, Verdict, VerdictKind
from harness.store.databases import connect
from harness.store.rows import SeriesName
from harness.store.runs import RunStore, open_store
from harness.store.schema import BLOCKS, LAUNCHES, REPETITIONS, RUNS, SUMMARIES, TARGETS, VERDICTS
from tests.store.strategies import register_what_every_database_holds, register_what_records_hold

Put = Callable[[RunStore, RunData], str]
MakeRun = Callable[..., RunRecord]


@pytest.fixture(scope="module", autouse=True)
def what_every_database_holds() -> Iterator[None]:
    register_what_every_database_holds()
    yield
    register_what_records_hold()


def test_a_run_comes_back_as_it_was_put(store: RunStore, small_run: RunData, put: Put) -> None:
    assert store.load(put(store, small_run)) == small_run


def outline(data: RunData) -> RunOutline:
    """What a run's outline holds, from all of it."""
    return RunOutline(
        run=data.run,
        launches=data.launches,
        repetitions=tuple(each for each in data.repetitions if not each.outcome.valid),
        tries=Counter(each.scenario_id for each in data.repetitions),
        summaries=tuple(
            Median(each.scenario_id, each.metric, each.n, each.median, each.reason) for each in data.summaries
        ),
        verdicts=data.verdicts,
        targets=data.targets,
    )


def test_outlines_of_several_runs_come_at_once_in_the_order_asked_for(
    store: RunStore, small_run: RunData, put: Put, make_run: MakeRun
) -> None:
    first = put(store, small_run)
    bare = store.begin(make_run(id="bare"))
    last = put(store, replace(small_run, run=replace(small_run.run, id="last"), verdicts=(), repetitions=()))
    assert store.outlines([last, bare, first]) == tuple(outline(store.load(each)) for each in (last, bare, first))
    assert store.outlines([]) == ()
    with pytest.raises(UsageError, match="no run of this name"):
        store.outlines([first, "nonesuch"])


@st.composite
def runs(draw: st.DrawFn) -> RunData:
    """Any run that one conductor can make: each block once, each summary once."""
    blocks = draw(st.lists(st.builds(Block), max_size=3, unique_by=lambda block: (block.launch, block.block)))
    repetitions = draw(st.lists(st.builds(Repetition), max_size=4))
    return RunData(
        run=draw(st.builds(RunRecord, format=st.just(1))),
        launches=tuple(draw(st.lists(st.builds(Launch), max_size=2))),
        blocks=tuple(blocks),
        repetitions=tuple(repetitions),
        summaries=tuple(
            draw(st.lists(st.builds(Summary), max_size=3, unique_by=lambda one: (one.scenario_id, one.metric)))
        ),
        verdicts=tuple(draw(st.lists(st.builds(Verdict), max_size=2))),
        targets=tuple(draw(st.lists(st.builds(TargetResult), max_size=2))),
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=runs())
def test_any_run_comes_back_equal(store: RunStore, data: RunData) -> None:
    run_id = store.begin(data.run)
    for launch in data.launches:
        store.add_launch(run_id, launch)
    store.add_repetitions(run_id, data.repetitions)
    for block in data.blocks:
        store.add_block(run_id, block, ())
    store.conclude(run_id, data.summaries, data.verdicts, data.targets)
    assert store.load(run_id) == replace(data, run=replace(data.run, id=run_id))


def test_a_taken_id_gets_a_number(store: RunStore, make_run: MakeRun) -> None:
    ids = [store.begin(make_run(id="night")) for _ in range(3)]
    assert ids == ["night", "night-2", "night-3"]
    assert store.head("night-3").id == "night-3"


def test_a_block_is_there_at_once_for_everybody_else(
    store: RunStore, store_url: str, make_run: MakeRun, make_block: Any, make_repetition: Any
) -> None:
    run_id = store.begin(make_run())
    store.add_block(run_id, make_block(1), [make_repetition(), make_repetition(position=2)])
    with open_store(store_url) as other:
        assert other.load(run_id).repetitions == (make_repetition(), make_repetition(position=2))


def test_a_block_is_stored_whole_or_not_at_all(
    store: RunStore, make_run: MakeRun, make_block: Any, make_repetition: Any
) -> None:
    run_id = store.begin(make_run())
    unstorable = make_repetition(memory=Memory(peak_reason="\ud800"))
    with pytest.raises(StoreError, match="cannot be stored exactly"):
        store.add_block(run_id, make_block(1), [make_repetition(scenario_id="new/one"), unstorable])
    assert store.load(run_id).blocks == ()
    store.add_block(run_id, make_block(1), [make_repetition(scenario_id="new/one")])
    assert [repetition.scenario_id for repetition in store.load(run_id).repetitions] == ["new/one"]


def test_a_block_is_never_stored_twice(
    store: RunStore, make_run: MakeRun, make_block: Any, make_repetition: Any
) -> None:
    run_id = store.begin(make_run())
    store.add_block(run_id, make_block(1), [make_repetition()])
    with pytest.raises(StoreError, match="block 1 of launch 1 is stored already"):
        store.add_block(run_id, make_block(1), [make_repetition()])
    assert len(store.load(run_id).repetitions) == 1


def test_the_end_of_a_run_keeps_what_its_beginning_said(store: RunStore, make_run: MakeRun) -> None:
    run = make_run(notes=("from the beginning",))
    run_id = store.begin(run)
    store.finish(run_id, status=RunStatus.PARTIAL, ended_at=9.5, reason="the budget was spent")
    assert store.head(run_id) == replace(
        run, status=RunStatus.PARTIAL, ended_at=9.5, reason="the budget was spent", notes=("from the beginning",)
    )


def test_concluding_again_replaces_the_first_conclusions(store: RunStore, small_run: RunData, put: Put) -> None:
    run_id = put(store, small_run)
    better = replace(small_run.verdicts[0], kind=VerdictKind.UNCHANGED)
    store.conclude(run_id, small_run.summaries[:1], [better], [])
    data = store.load(run_id)
    assert (data.summaries, data.verdicts, data.targets) == (small_run.summaries[:1], (better,), ())
    assert store.list()[0].regressed == 0


def test_a_summary_without_a_figure_is_refused(store: RunStore, make_run: MakeRun) -> None:
    run_id = store.begin(make_run())
    with pytest.raises(StoreError, match="the median of rtf is nan, which is no figure"):
        store.conclude(run_id, [Summary(scenario_id="a", metric="rtf", definition=1, n=1, median=float("nan"))], [], [])


def test_the_list_counts_what_the_runs_hold(store: RunStore, small_run: RunData, make_run: MakeRun, put: Put) -> None:
    put(store, small_run)
    store.begin(make_run(id="later", started_at=1_800_000_000.0, selection="full"))
    later, earlier = store.list()
    assert (later.id, later.status, later.ended_at, later.selection) == ("later", RunStatus.RUNNING, None, "full")
    assert (later.scenarios, later.blocks, later.repetitions, later.regressed) == (4, 0, 0, None)
    assert (earlier.id, earlier.status) == (small_run.run.id, RunStatus.FAILED)
    assert (earlier.blocks, earlier.repetitions, earlier.invalid) == (3, 10, 3)
    assert (earlier.regressed, earlier.improved, earlier.missed) == (1, 0, 1)
    assert earlier.reason == "one scenario has no valid repetition"


def test_the_list_can_be_narrowed(store: RunStore, make_run: MakeRun) -> None:
    other = replace(make_run().machine, key="other-machine")
    for number in range(4):
        store.begin(
            make_run(id=f"run-{number}", started_at=float(number), machine=other if number == 3 else make_run().machine)
        )
    store.finish("run-1", status=RunStatus.COMPLETE, ended_at=9.0)
    assert [row.id for row in store.list(limit=2)] == ["run-3", "run-2"]
    assert [row.id for row in store.list(machine_key="other-machine")] == ["run-3"]
    assert [row.id for row in store.list(status=RunStatus.COMPLETE)] == ["run-1"]
    assert [row.id for row in store.list(machine_key=make_run().machine.key, limit=1)] == ["run-2"]


@pytest.fixture
def three_runs(store: RunStore, make_run: MakeRun) -> RunStore:
    for number, run_id in enumerate(("2026-01-01", "2026-01-02", "nightly_%")):
        store.begin(make_run(id=run_id, started_at=float(number)))
    return store


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("latest", "nightly_%"),
        ("latest~0", "nightly_%"),
        ("latest~2", "2026-01-01"),
        ("2026-01-02", "2026-01-02"),
        ("n", "nightly_%"),
    ],
)
def test_a_run_can_be_named_shortly(three_runs: RunStore, name: str, meant: str) -> None:
    assert three_runs.resolve(name) == meant


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("2026", "2026: 2 runs begin like this: 2026-01-02, 2026-01-01 — give more of the id"),
        ("2026-01-3", "2026-01-3: no run of this name is stored — did you mean '2026-01-02'?"),
        ("zzz", "zzz: no run of this name is stored — see `kokoro-bench runs list`"),
        ("", "no run of this name is stored — see `kokoro-bench runs list`"),
        ("%", "%: no run of this name is stored — see `kokoro-bench runs list`"),
        ("latest~3", "latest~3: there are only 3 runs — the oldest is latest~2, 2026-01-01"),
    ],
)
def test_a_name_that_means_no_single_run_is_refused(three_runs: RunStore, name: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        three_runs.resolve(name)
    assert str(caught.value) == complaint


def test_an_exact_id_wins_over_longer_ones(store: RunStore, make_run: MakeRun) -> None:
    for _ in range(2):
        store.begin(make_run(id="night"))
    assert store.resolve("night") == "night"


def test_the_latest_of_a_machine(three_runs: RunStore, make_run: MakeRun) -> None:
    elsewhere = replace(make_run().machine, key="elsewhere")
    three_runs.begin(make_run(id="foreign", started_at=99.0, machine=elsewhere))
    assert three_runs.resolve("latest") == "foreign"
    assert three_runs.resolve("latest", machine_key=make_run().machine.key) == "nightly_%"


def test_an_empty_store_says_so(store: RunStore) -> None:
    with pytest.raises(UsageError, match="no run is stored yet"):
        store.resolve("latest")


@pytest.mark.parametrize("method", ["head", "load", "delete"])
def test_an_unknown_run_is_a_usage_error(store: RunStore, make_run: MakeRun, method: str) -> None:
    store.begin(make_run(id="2026-01-01"))
    with pytest.raises(UsageError, match="no run of this name is stored"):
        getattr(store, method)("2026-01-02")


def test_deleting_leaves_nothing_of_a_run_and_all_of_the_others(
    store: RunStore, store_url: str, small_run: RunData, put: Put
) -> None:
    gone, kept = put(store, small_run), put(store, small_run)
    store.delete(gone)
    assert store.load(kept) == replace(small_run, run=replace(small_run.run, id=kept))
    database = connect(store_url, lock_wait_s=5.0)
    with database.readers.begin() as connection:
        for table in (RUNS, LAUNCHES, BLOCKS, REPETITIONS, SUMMARIES, VERDICTS, TARGETS):
            own = RUNS.c.key if table is RUNS else table.c.run
            assert connection.scalar(select(func.count(own.distinct()))) == 1, table.name
    database.dispose()


def test_a_deleted_run_gives_its_space_back(
    tmp_path: Any, make_run: MakeRun, make_block: Any, make_repetition: Any
) -> None:
    file = tmp_path / "results.sqlite"
    with open_store(file) as store:
        run_id = store.begin(make_run())
        for number in range(20):
            store.add_block(run_id, make_block(number), [make_repetition(end_ns=n * 7919) for n in range(100)])
    full = file.stat().st_size
    with open_store(file) as store:
        store.delete(run_id)
        assert file.stat().st_size < full / 2


def test_a_trend_is_read_from_the_summaries(store: RunStore, make_run: MakeRun) -> None:
    for night in range(5):
        run_id = store.begin(make_run(id=f"night-{night}", started_at=float(night)))
        if night != 2:
            store.conclude(
                run_id, [Summary(scenario_id="a/b", metric="rtf", definition=1, n=9, median=night / 8)], [], []
            )
    key = make_run().machine.key
    points = store.series("rtf", "a/b", key)
    assert [(point.run_id, point.started_at, point.summary.median) for point in points] == [
        ("night-0", 0.0, 0.0),
        ("night-1", 1.0, 0.125),
        ("night-3", 3.0, 0.375),
        ("night-4", 4.0, 0.5),
    ]
    assert [point.run_id for point in store.series("rtf", "a/b", key, limit=2)] == ["night-3", "night-4"]
    assert store.series("rtf", "a/b", "another machine") == ()
    assert store.series("ttfa", "a/b", key) == ()


def test_the_trends_of_a_store_are_named(store: RunStore, small_run: RunData, put: Put) -> None:
    run_id = put(store, small_run)
    machine = small_run.run.machine.key
    named = sorted((machine, one.scenario_id, one.metric) for one in small_run.summaries)
    assert store.series_names() == tuple(
        SeriesName(machine_key=key, scenario_id=scenario, metric=metric) for key, scenario, metric in named
    )
    assert store.series_names(machine_key="another") == ()
    store.delete(run_id)
    assert store.series_names() == ()


def test_warm_ups_and_first_inferences_count_as_repetitions(
    store: RunStore, make_run: MakeRun, make_repetition: Any
) -> None:
    run_id = store.begin(make_run())
    crashed = Outcome(kind=OutcomeKind.CRASHED, reason="signal 9", stderr_tail="…")
    store.add_repetitions(
        run_id, [make_repetition(phase=Phase.FIRST), make_repetition(phase=Phase.WARMUP, outcome=crashed)]
    )
    store.add_repetitions(run_id, [])
    [row] = store.list()
    assert (row.repetitions, row.invalid, row.blocks) == (2, 1, 0)


class TestAbandoned:
    """A run that says it is running, while its process is gone."""

    @pytest.fixture
    def mark(self, make_run: MakeRun) -> Callable[..., tuple[str, ...]]:
        def mark(store: RunStore, *, alive: bool) -> tuple[str, ...]:
            key = make_run().machine.key
            return store.mark_abandoned(machine_key=key, boot="boot-1", alive=lambda _pid, _at: alive)

        return mark

    def test_a_dead_run_becomes_interrupted_and_keeps_its_blocks(
        self, store: RunStore, make_run: MakeRun, make_block: Any, make_repetition: Any, mark: Any
    ) -> None:
        run_id = store.begin(make_run())
        store.add_block(run_id, make_block(1), [make_repetition()])
        assert mark(store, alive=False) == (run_id,)
        data = store.load(run_id)
        assert data.run.status is RunStatus.INTERRUPTED
        assert data.run.reason == "its process (4242) ended before the run did; every finished block is here"
        assert data.run.ended_at == 5_000.0  # when its last block was written
        assert data.repetitions == (make_repetition(),)
        assert mark(store, alive=False) == ()

    def test_a_living_run_is_left_alone(self, store: RunStore, make_run: MakeRun, mark: Any) -> None:
        run = make_run()
        store.begin(run)
        assert mark(store, alive=True) == ()
        assert store.head(run.id) == run

    def test_a_run_of_another_machine_is_left_alone(self, store: RunStore, make_run: MakeRun, mark: Any) -> None:
        elsewhere = make_run(machine=replace(make_run().machine, key="elsewhere"))
        store.begin(elsewhere)
        assert mark(store, alive=False) == ()
        assert store.head(elsewhere.id) == elsewhere

    def test_a_run_that_ended_in_order_is_left_alone(self, store: RunStore, make_run: MakeRun, mark: Any) -> None:
        run_id = store.begin(make_run())
        store.finish(run_id, status=RunStatus.COMPLETE, ended_at=9.0)
        assert mark(store, alive=False) == ()
        assert store.head(run_id).status is RunStatus.COMPLETE

    def test_a_run_that_ends_while_it_is_looked_at_is_left_alone(self, store: RunStore, make_run: MakeRun) -> None:
        run_id = store.begin(make_run())

        def ends_meanwhile(_pid: int, _started_at: float) -> bool:
            store.finish(run_id, status=RunStatus.COMPLETE, ended_at=9.0)
            return False

        key = make_run().machine.key
        assert store.mark_abandoned(machine_key=key, boot="boot-1", alive=ends_meanwhile) == ()
        assert store.head(run_id).status is RunStatus.COMPLETE

    def test_after_a_reboot_nobody_is_asked(self, tmp_path: Any, make_run: MakeRun, mark: Any) -> None:
        with open_store(tmp_path / "results.sqlite") as store:
            run_id = store.begin(make_run(boot="boot-0"))
            assert mark(store, alive=True) == (run_id,)

    @pytest.mark.parametrize(("silent_s", "abandoned"), [(86_000.0, False), (86_800.0, True)])
    def test_on_a_server_a_twin_machine_gets_a_day(
        self,
        server_url: str,
        make_run: MakeRun,
        mark: Any,
        silent_s: float,
        abandoned: bool,  # noqa: FBT001
    ) -> None:
        now = 1_000.0
        with open_store(server_url, now=lambda: now) as store:
            run_id = store.begin(make_run(boot="boot-0"))
            now += silent_s
            assert mark(store, alive=False) == ((run_id,) if abandoned else ())

    def test_a_run_wrongly_given_up_can_still_end_in_order(self, store: RunStore, make_run: MakeRun, mark: Any) -> None:
        run_id = store.begin(make_run())
        mark(store, alive=False)
        store.finish(run_id, status=RunStatus.COMPLETE, ended_at=9.0)
        assert (store.head(run_id).status, store.head(run_id).reason) == (RunStatus.COMPLETE, "")


def test_a_store_in_memory_serves_a_test(small_run: RunData, put: Put) -> None:
    with open_store("sqlite://") as store:
        assert store.load(put(store, small_run)) == small_run


def test_the_scenarios_of_another_process_are_found(store: RunStore, store_url: str, make_run: MakeRun) -> None:
    numbers = count(1)
    with open_store(store_url) as other:
        for one in (store, other, store):
            run_id = one.begin(make_run(id=f"run-{next(numbers)}"))
            one.conclude(run_id, [Summary(scenario_id="shared", metric="rtf", definition=1, n=1, median=1.0)], [], [])
    assert len(store.series("rtf", "shared", make_run().machine.key)) == 3
