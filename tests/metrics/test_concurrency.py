from dataclasses import replace
from typing import Any

import pytest

from harness.core.records.repetition import Block, Canary, EngineCounters, LoadNote, Memory, Outcome, OutcomeKind, Phase
from harness.core.records.scenario import Arrivals, Traffic
from harness.metrics.derive import RunValues, scenario_values

CANARY = Canary(numpy_ns=None, graph_ns=None)
LOAD = Traffic(arrivals=Arrivals.POISSON, level=2, seconds=10, warm_up_s=5)


def block(scenario_id: str, **note: Any) -> Block:
    """A window from 105 s to 115 s."""
    return Block(
        block=0, launch=0, order=(scenario_id,), started_at=105.0, wall_ns=10_000_000_000, canary=CANARY,
        load=LoadNote(**note),
    )  # fmt: skip


def test_a_loads_window_counts_what_came_in_it_whenever_it_was_asked_for(made: Any) -> None:
    scenario = replace(made.scenario(), traffic=LOAD)
    ours = [
        # One second of audio each, complete 2 s after its start.
        replace(made.repetition(phase=phase, chunks=((2_000, 1_000),), started_at=at), scenario_id=scenario.id)
        for phase, at in ((Phase.WARMUP, 101.0), (Phase.WARMUP, 104.0), (Phase.MEASURED, 110.0),
                          (Phase.MEASURED, 114.0), (Phase.COOLDOWN, 115.5))
    ]  # fmt: skip
    data = made.data(*ours)
    data = replace(data, run=replace(data.run, scenarios=(scenario,)), blocks=(block(scenario.id),))
    values = RunValues(data).against(scenario, {"latency": 3.0})
    # The second came at 106 s, the third at 112 s; the first before the window, the others after it.
    assert values["throughput"].flat == pytest.approx((0.2,))
    assert values["goodput"].flat == pytest.approx((0.2,))
    # Latencies are of what was to begin in the window, wherever it ended.
    assert values["latency"].n == 2
    strict = RunValues(data).against(scenario, {"latency": 1.0})
    assert strict["goodput"].flat == (0.0,)


def test_the_clients_lag_is_of_every_request_failed_ones_too_and_of_its_timer(made: Any) -> None:
    scenario = replace(made.scenario(), traffic=LOAD)
    failed = Outcome(kind=OutcomeKind.ERROR, reason="no", fault="http-503")
    ours = [
        replace(made.repetition(), scenario_id=scenario.id, lag_ns=1_000_000),
        replace(made.repetition(outcome=failed), scenario_id=scenario.id, lag_ns=3_000_000),
        replace(made.repetition(phase=Phase.WARMUP), scenario_id=scenario.id, lag_ns=9_000_000),
    ]
    data = made.data(*ours)
    noted = block(scenario.id, timer_lag=((0, 2), (5, 1)))
    data = replace(data, run=replace(data.run, scenarios=(scenario,)), blocks=(noted,))
    lag = scenario_values(scenario, data)["client_lag"]
    assert sorted(lag.flat) == pytest.approx([0.0, 0.0, 0.0005, 0.001, 0.003])


def test_what_comes_one_by_one_has_no_lag_and_no_window(made: Any) -> None:
    values = scenario_values(made.scenario(), made.data(made.repetition()))
    for name in ("client_lag", "throughput", "goodput"):
        assert values[name].n == 0
        assert "one request at a time" in values[name].reason


def test_a_loads_peak_is_the_servers_or_unknown_with_the_reason(made: Any) -> None:
    scenario = replace(made.scenario(), traffic=LOAD)
    ours = replace(made.repetition(), scenario_id=scenario.id)
    data = made.data(ours)
    data = replace(data, run=replace(data.run, scenarios=(scenario,)))
    known = replace(data, blocks=(block(scenario.id, memory=Memory(peak=5_000)),))
    assert scenario_values(scenario, known)["rss_peak"].flat == (5_000,)
    unknown = replace(data, blocks=(block(scenario.id, memory=Memory(peak_reason="elsewhere")),))
    assert scenario_values(scenario, unknown)["rss_peak"].reason == "elsewhere"


def loaded(made: Any, *, noted: dict[str, Any], **changes: Any) -> Any:
    """A run of one load with one request."""
    scenario = replace(made.scenario(), traffic=LOAD)
    data = made.data(replace(made.repetition(**changes), scenario_id=scenario.id))
    data = replace(data, run=replace(data.run, scenarios=(scenario,)), blocks=(block(scenario.id, **noted),))
    return scenario_values(scenario, data)


def test_a_loads_peak_that_nobody_read_says_so(made: Any) -> None:
    assert loaded(made, noted={})["rss_peak"].reason == "the server's memory was not read"
    assert loaded(made, noted={"memory": Memory()})["rss_peak"].reason == "the server's memory was not read"


def test_a_load_without_lags_is_not_said_to_ask_one_by_one(made: Any) -> None:
    assert loaded(made, noted={})["client_lag"].reason == "no value"


def test_each_load_has_the_blocks_of_its_own(made: Any) -> None:
    first, second = (replace(made.scenario(), traffic=replace(LOAD, level=level)) for level in (1, 2))
    blocks = (
        replace(block(first.id, memory=Memory(peak=1), timer_lag=((1, 1),)), block=3),
        replace(block(second.id, memory=Memory(peak=2), timer_lag=((2, 2),)), block=4),
        # A block that no load was played in, and one that a load shared with another scenario.
        replace(block(first.id), load=None, block=5),
        replace(block(first.id, memory=Memory(peak=9), timer_lag=((9, 9),)), order=(first.id, "another"), block=6),
    )
    data = made.data(replace(made.repetition(block=4, started_at=106.0), scenario_id=second.id))
    data = replace(data, run=replace(data.run, scenarios=(first, second)), blocks=blocks)
    (ours, theirs) = (RunValues(data).against(each, {"latency": 9.0}) for each in (first, second))
    assert (ours["rss_peak"].flat, theirs["rss_peak"].flat) == ((1.0,), (2.0,))
    assert ours["client_lag"].flat == pytest.approx((0.0001,))
    assert theirs["client_lag"].flat == pytest.approx((0.0002, 0.0002))
    assert (ours["throughput"].flat, theirs["throughput"].flat) == ((0.0,), (0.1,))
    for name in ("rss_peak", "throughput", "goodput"):
        assert (ours[name].blocks, theirs[name].blocks) == (((3,),), ((4,),)), name
        assert (ours[name].metric, theirs[name].metric) == (name, name)
    assert theirs["client_lag"].blocks == ((4, 4),)
    assert theirs["client_lag"].metric == "client_lag"


def test_what_a_crowds_blocks_tell_carries_its_block_and_its_name(made: Any) -> None:
    scenario = replace(made.scenario(), concurrency=2)
    account = EngineCounters(hits=1, misses=1, cache_limit=9)
    ours = [
        replace(made.repetition(block=7, started_at=100.0 + lag), scenario_id=scenario.id, lag_ns=lag, account=account)
        for lag in (1, 2)
    ]
    data = made.data(*ours, scenarios=(scenario,))
    values = RunValues(data).against(scenario, {"latency": 9.0})
    for name, number in (
        ("throughput", 1),
        ("goodput", 1),
        ("longest_wait", 1),
        ("cache_hit_rate", 1),
        ("client_lag", 2),
    ):
        assert values[name].blocks == ((7,) * number,), name
        assert values[name].metric == name


def test_the_longest_wait_is_for_sound_and_of_valid_answers(made: Any) -> None:
    scenario = replace(made.scenario(), concurrency=4)
    # Each begins with a chunk without frames, at once; one never sounds, and one that failed was slowest.
    chunks = (((0, 0), (100, 50)), ((0, 0), (100, 50)), ((0, 0), (300, 50)), ((0, 0),), ((900, 50),))
    failed = Outcome(kind=OutcomeKind.ERROR, reason="no", fault="http-503")
    ours = [
        replace(
            made.repetition(chunks=each, outcome=failed if number == 4 else Outcome()),
            scenario_id=scenario.id,
            position=number,
        )
        for number, each in enumerate(chunks)
    ]
    values = scenario_values(scenario, made.data(*ours, scenarios=(scenario,)))
    assert values["longest_wait"].flat == pytest.approx((3.0,))
    silent = scenario_values(scenario, made.data(*ours[3:], scenarios=(scenario,)))
    assert silent["longest_wait"].reason == "no request received any audio"
    at_once = [replace(each, chunks=made.marks((0, 50)), block=1) for each in ours[:2]]
    mostly_at_once = scenario_values(scenario, made.data(*at_once, replace(ours[2], block=1), scenarios=(scenario,)))
    assert mostly_at_once["longest_wait"].n == 0, "no multiple of nothing"


def test_the_longest_wait_is_of_a_block_against_its_median(made: Any) -> None:
    scenario = replace(made.scenario(), concurrency=3)
    ours = [
        replace(made.repetition(block=block, chunks=((wait_ms, 1_000),)), scenario_id=scenario.id, position=number)
        for block, waits in enumerate(((100, 200, 500), (100, 100, 100)))
        for number, wait_ms in enumerate(waits)
    ]
    data = made.data(*ours)
    data = replace(data, run=replace(data.run, scenarios=(scenario,)))
    assert scenario_values(scenario, data)["longest_wait"].flat == pytest.approx((2.5, 1.0))
    assert "longest_wait" not in scenario_values(made.scenario(), made.data(made.repetition()))


def test_hits_are_counted_by_the_block_and_a_crowds_account_once(made: Any) -> None:
    first, second = (EngineCounters(hits=hits, misses=3 - hits, joined=1, cache_limit=9) for hits in (1, 3))
    scenario = made.scenario()
    alone = [
        replace(made.repetition(block=block), account=account)
        for block, account in ((0, first), (0, second), (1, second))
    ]
    rate = scenario_values(scenario, made.data(*alone))["cache_hit_rate"]
    assert rate.flat == (0.5, 0.75)
    crowd = replace(scenario, concurrency=2)
    ours = [replace(made.repetition(), scenario_id=crowd.id, account=first) for _ in range(2)]
    data = made.data(*ours)
    data = replace(data, run=replace(data.run, scenarios=(crowd,)))
    assert scenario_values(crowd, data)["cache_hit_rate"].flat == (0.25,)


def test_without_a_cache_there_is_no_hit_rate(made: Any) -> None:
    counted = replace(made.repetition(), account=EngineCounters(misses=3))
    assert "cache_hit_rate" not in scenario_values(made.scenario(), made.data(counted))
