"""Waiting for a process to come to rest, on scripted counters."""

from collections.abc import Callable, Iterator

from harness.measure.system.quiesce import await_idle

MS = 1_000_000


class Counter:
    """CPU time that grows by what is scripted with each sleep, and the sleeps."""

    def __init__(self, *growth_ms: float) -> None:
        self._growth: Iterator[float] = iter(growth_ms)
        self._used_ns = 5_000 * MS
        self.slept: list[float] = []

    def used_ns(self) -> int:
        return self._used_ns

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._used_ns += round(next(self._growth) * MS)


def rested(counter: Counter, used_ns: Callable[[], int | None] | None = None, **limits: float) -> bool:
    return await_idle(used_ns or counter.used_ns, sleep=counter.sleep, **{"window_s": 0.01, **limits})


def test_a_process_at_rest_costs_one_window() -> None:
    counter = Counter(0.3)
    assert rested(counter)
    assert counter.slept == [0.01]


def test_who_spins_is_waited_for() -> None:
    counter = Counter(10, 10, 9.5, 4, 0.2)
    assert rested(counter)
    assert len(counter.slept) == 5


def test_two_cores_spinning_are_no_rest() -> None:
    counter = Counter(20, 20, 0)
    assert rested(counter)
    assert len(counter.slept) == 3


def test_who_never_rests_is_given_up() -> None:
    counter = Counter(*[10] * 100)
    assert not rested(counter, longest_s=0.25)
    assert len(counter.slept) == 25


def test_an_unknown_time_is_not_waited_for() -> None:
    counter = Counter()
    assert not rested(counter, lambda: None)
    assert counter.slept == []


def test_a_time_that_becomes_unknown_ends_the_wait() -> None:
    counter = Counter(10, 10)
    known: Iterator[int | None] = iter((0, None))
    assert not rested(counter, lambda: next(known))
    assert len(counter.slept) == 1
