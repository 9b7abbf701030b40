"""Metrics of concurrent requests: the answers within a window, waiting, and the lag of the client. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

from harness.core.records.repetition import Block, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.value import Reading, known, unknown
from harness.metrics import throughput
from harness.metrics.playback import NS, ttfc
from harness.metrics.throughput import Window
from harness.metrics.values import Collector, Placed

ONE_AT_A_TIME = "one request at a time: it takes concurrent ones"
LAG_STEP_S = 1e-4


def add_window(
    values: Collector,
    scenario: Scenario,
    data: RunData,
    *,
    ours: Sequence[Repetition],
    measured: Sequence[Repetition],
    targets: Mapping[str, float],
) -> None:
    """Throughput and goodput: of a block of concurrent requests from first start to last end, of a load in its window.

    `ours` are the scenario's repetitions of every phase, in order; `measured` those that count. An answer that was
    requested during the warm-up of a load and came within the window is part of what came there.
    """
    windows: list[tuple[tuple[int, int], Sequence[Repetition], Window]] = []
    if scenario.traffic is not None:
        for load in loads_of(scenario, data):
            place = load.launch, load.block
            windows.append((place, [each for each in ours if (each.launch, each.block) == place], window_of(load)))
    elif scenario.concurrency > 1:
        windows = [(place, members, throughput.span(members)) for place, members in _by_block(measured).items()]
    spoken, good = [], []
    for (launch, block), members, window in windows:
        spoken.append(Placed(launch=launch, block=block, reading=throughput.throughput(members, window)))
        answered = throughput.goodput(members, window, targets=targets)
        good.append(Placed(launch=launch, block=block, reading=answered))
    reason = "" if scenario.is_concurrent else ONE_AT_A_TIME
    values.add("throughput", spoken, reason=reason)
    values.add("goodput", good, reason=reason)


def longest_waits(measured: Sequence[Repetition]) -> list[Placed]:
    """`longest_wait`: per block of simultaneous requests."""
    return [
        Placed(launch=launch, block=block, reading=_longest_wait(members))
        for (launch, block), members in _by_block(measured).items()
    ]


def hit_rates(measured: Sequence[Repetition]) -> list[Placed]:
    """`cache_hit_rate`: per block; empty for engines that have no cache or do not count its hits."""
    placed = []
    for (launch, block), members in _by_block(measured).items():
        # Simultaneous requests share one set of counters, which leaves the ratio as it is.
        counters = [each.account for each in members if each.account and each.account.cache_limit]
        if requested := sum(each.asked for each in counters):
            rate = known(sum(each.hits for each in counters) / requested)
            placed.append(Placed(launch=launch, block=block, reading=rate))
    return placed


def _by_block(repetitions: Sequence[Repetition]) -> Mapping[tuple[int, int], list[Repetition]]:
    blocks: dict[tuple[int, int], list[Repetition]] = defaultdict(list)
    for each in repetitions:
        blocks[each.launch, each.block].append(each)
    return blocks


def _longest_wait(members: Sequence[Repetition]) -> Reading:
    # As in ttfc, a chunk without frames does not count.
    found = [ttfc(each.chunks).value for each in members if each.outcome.valid]
    waits = [wait for wait in found if wait is not None]
    typical = median(waits) if waits else 0.0
    return known(max(waits) / typical) if typical else unknown("no request received any audio")


def add_lag(values: Collector, scenario: Scenario, data: RunData, measured: Sequence[Repetition]) -> None:
    """`client_lag`: of every request, failed ones too, and of every beat of the client's own timer under a load."""
    placed = [
        Placed(launch=each.launch, block=each.block, reading=known(each.lag_ns / NS))
        for each in measured
        if each.lag_ns is not None
    ]
    for block in loads_of(scenario, data):
        for steps, times in block.load.timer_lag if block.load else ():
            beat = Placed(launch=block.launch, block=block.block, reading=known(steps * LAG_STEP_S))
            placed += [beat] * times
    values.add("client_lag", placed, reason="" if scenario.is_concurrent else ONE_AT_A_TIME)


def load_peaks(scenario: Scenario, data: RunData) -> list[Placed]:
    """`rss_peak` under a load: what the server's process tree held at most, per load."""
    return [Placed(launch=each.launch, block=each.block, reading=_peak(each)) for each in loads_of(scenario, data)]


def loads_of(scenario: Scenario, data: RunData) -> list[Block]:
    """The blocks of the scenario's load. A block with a load has no other scenario."""
    return [block for block in data.blocks if block.load is not None and block.order == (scenario.id,)]


def window_of(block: Block) -> Window:
    """The measured part of a load: a block with a load begins and ends with its window."""
    return Window(start=block.started_at, end=block.started_at + block.wall_ns / NS)


def _peak(block: Block) -> Reading:
    memory = block.load.memory if block.load else None
    if memory is None or memory.peak is None:
        return unknown((memory.peak_reason if memory else "") or "the server's memory was not read")
    return known(memory.peak)
