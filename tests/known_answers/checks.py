"""What several ways of making a load must all show, whoever makes it."""

import math
from collections.abc import Sequence
from itertools import pairwise

from scipy import stats

from tests.known_answers.witness import NS, ROUNDING_NS, Load, most_open


def check_closed_loop(load: Load, *, listeners: int, clients: int = 1) -> list[int]:
    """As many open as there are listeners and never more, and each asks again when, and only when, it was served.

    Every request but each listener's first is meant to begin at the end of another, and each end begins another until
    the load is over. Where there are several `clients`, it is not over in the same moment for all. Returns when the
    first request of each listener was meant to begin, in order.
    """
    load.check_stamps()
    traffic = load.scenario.traffic
    assert traffic is not None
    assert most_open(load.seen) == max(each.now_open for each in load.seen) == listeners
    ends = sorted(each.end_ns for each in load.pairs)
    starts = sorted(each.intended_ns for each in load.pairs)
    first = []
    for start in starts:
        nearest = min(ends, key=lambda each: abs(each - start))
        if abs(nearest - start) <= ROUNDING_NS:
            ends.remove(nearest)
        else:
            first.append(start)
    assert len(first) == listeners < len(starts)
    # Those ends that began nothing are the last of each listener, who was served when the load was over.
    assert len(ends) == listeners
    if clients == 1:
        assert min(ends) >= max(starts)
    return first


def server_starts_ns(load: Load) -> list[int]:
    """When each request came, less what the client says that it was late by: the schedule as the server can know it."""
    return sorted(each.seen.asked_ns - (each.repetition.lag_ns or 0) for each in load.pairs)


def check_poisson(load: Load, *, rate: float, seconds: float, apart_s: float = 0.0) -> None:
    """Exponential gaps, as many as the rate makes. Seeds are fixed, so what is rare by chance never comes.

    The starts that are tested are those that the run has, which the server's times allow (`check_stamps`). Where the
    server was told quickly enough for its own times to tell gaps apart, those are tested too. Of clients that began
    `apart_s` seconds apart, only the time in which all of them were there is tested.
    """
    load.check_stamps()
    tested = [sorted(each.intended_ns for each in load.pairs)]
    if load.slack_ns < NS / rate / 3:
        tested.append(server_starts_ns(load))
    for starts in tested:
        first_ns, last_ns = starts[0] + round(apart_s * NS), starts[0] + round(seconds * NS)
        together = [start for start in starts if first_ns <= start <= last_ns]
        gaps_s = [(later - earlier) / NS for earlier, later in pairwise(together)]
        assert stats.kstest(gaps_s, stats.expon(scale=1 / rate).cdf).pvalue > 0.001
    low, high = stats.poisson(rate * seconds).interval(0.999)
    assert low <= len(load.pairs) <= high


def check_ramp(load: Load, *, first: float, last: float, seconds: float) -> None:
    """The count of each tenth is the integral of the rate over it, by the schedule and by the server."""
    load.check_stamps()

    def due(at_s: float) -> float:
        return first * at_s + (last - first) * at_s**2 / (2 * seconds)

    assert len(load.pairs) == math.ceil(due(seconds) - 1e-9)
    began_ns = min(each.intended_ns for each in load.pairs)
    edges = [began_ns + round(seconds * tenth / 10 * NS) for tenth in range(11)]
    expected = [due(seconds * (tenth + 1) / 10) - due(seconds * tenth / 10) for tenth in range(10)]
    intended = [each.intended_ns for each in load.pairs]
    seen = [at - load.shift_ns[1] for at in server_starts_ns(load)]
    for wanted, (start, end) in zip(expected, pairwise(edges), strict=True):
        assert abs(_within(intended, start - ROUNDING_NS, end - ROUNDING_NS) - wanted) <= 1
        # What came so soon behind an edge that the way to the server may have put it there.
        near = sum(_within(seen, edge, edge + load.slack_ns) for edge in (start, end))
        assert abs(_within(seen, start, end) - wanted) <= 1 + near


def _within(moments: Sequence[float], start: float, end: float) -> int:
    return sum(start <= at < end for at in moments)
