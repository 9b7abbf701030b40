"""Metrics of many requests at once: what came in a window, and whether the client kept up. Pure."""

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
from harness.metrics.values import Counts, Placed, Values, collect

ONE_AT_A_TIME = "one request at a time: it takes concurrent ones"
LAG_STEP_S = 1e-4


def window_values(
    scenario: Scenario,
    data: RunData,
    *,
    ours: Sequence[Repetition],
    measured: Sequence[Repetition],
    counts: Counts,
    reason: str,
    targets: Mapping[str, float],
) -> dict[str, Values]:
    """Throughput and goodput: of a block of concurrent requests from first start to last end, of a load in its window.

    `ours` are the scenario's repetitions of every phase, in order; `measured` those that count. An answer that was
    asked for during the warm-up of a load and came within the window is part of what came there.
    """
    spoken: list[Placed] = []
    good: list[Placed] = []

    def read(members: Sequence[Repetition], window: Window, *, launch: int, block: int) -> None:
        spoken.append(Placed(launch=launch, block=block, reading=throughput.throughput(members, window)))
        good.append(Placed(launch=launch, block=block, reading=throughput.goodput(members, window, targets=targets)))

    if scenario.traffic is not None:
        for found in loads_of(scenario, data):
            members = [each for each in ours if (each.launch, each.block) == (found.launch, found.block)]
            read(members, window_of(found), launch=found.launch, block=found.block)
    elif scenario.concurrency > 1:
        for (launch, block), members in _by_block(measured).items():
            read(members, throughput.span(members), launch=launch, block=block)
    else:
        reason = ONE_AT_A_TIME
    return {
        "throughput": collect("throughput", spoken, counts=counts, reason=reason),
        "goodput": collect("goodput", good, counts=counts, reason=reason),
    }


def wait_values(
    scenario: Scenario, *, measured: Sequence[Repetition], counts: Counts, reason: str
) -> dict[str, Values]:
    """`longest_wait`: per block of texts asked for at once; no other scenario has it."""
    if scenario.concurrency == 1:
        return {}
    placed = [
        Placed(launch=launch, block=block, reading=_longest_wait(members))
        for (launch, block), members in _by_block(measured).items()
    ]
    return {"longest_wait": collect("longest_wait", placed, counts=counts, reason=reason)}


def hit_values(measured: Sequence[Repetition], *, counts: Counts, reason: str) -> dict[str, Values]:
    """`cache_hit_rate`: per block; only scenarios of engines that have a cache and count its hits have it."""
    placed = []
    for (launch, block), members in _by_block(measured).items():
        # Texts that were asked for at once share one account, which leaves the ratio as it is.
        accounts = [each.account for each in members if each.account and each.account.cache_limit]
        asked = sum(each.asked for each in accounts)
        if asked:
            rate = known(sum(each.hits for each in accounts) / asked)
            placed.append(Placed(launch=launch, block=block, reading=rate))
    return {"cache_hit_rate": collect("cache_hit_rate", placed, counts=counts, reason=reason)} if placed else {}


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


def lag_values(
    scenario: Scenario, data: RunData, *, measured: Sequence[Repetition], counts: Counts, reason: str
) -> Values:
    """`client_lag`: of every request, failed ones too, and of every beat of the client's own timer under a load."""
    placed = [
        Placed(launch=each.launch, block=each.block, reading=known(each.lag_ns / NS))
        for each in measured
        if each.lag_ns is not None
    ]
    for block in loads_of(scenario, data):
        for steps, times in block.load.timer_lag if block.load else ():
            placed += [_beat(block, steps * LAG_STEP_S)] * times
    if not placed and scenario.traffic is None and scenario.concurrency == 1:
        reason = ONE_AT_A_TIME
    return collect("client_lag", placed, counts=counts, reason=reason)


def load_peaks(scenario: Scenario, data: RunData, *, counts: Counts, reason: str) -> Values:
    """`rss_peak` under a load: what the server's process tree held at most, per load."""
    placed = [Placed(launch=each.launch, block=each.block, reading=_peak(each)) for each in loads_of(scenario, data)]
    return collect("rss_peak", placed, counts=counts, reason=reason)


def loads_of(scenario: Scenario, data: RunData) -> list[Block]:
    """The blocks in which the scenario's load was played."""
    return [block for block in data.blocks if block.load is not None and block.order == (scenario.id,)]


def window_of(block: Block) -> Window:
    """A load's window."""
    return Window(start=block.started_at, end=block.started_at + block.wall_ns / NS)


def _beat(block: Block, lateness_s: float) -> Placed:
    return Placed(launch=block.launch, block=block.block, reading=known(lateness_s))


def _peak(block: Block) -> Reading:
    memory = block.load.memory if block.load else None
    if memory is None or memory.peak is None:
        return unknown((memory.peak_reason if memory else "") or "the server's memory was not read")
    return known(memory.peak)
