"""Sessions side by side, without ONNX Runtime: what a session does is the test's."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed, wait
from itertools import islice

import pytest

from harness.core.clock import Clock, SystemClock
from harness.engines.pooled.pool import Pool, PoolClosed

PATIENCE = 240.0


class ClockOfEachThread(SystemClock):
    """Time that passes only for the thread that waits: a session takes as long as its work, on a busy machine too."""

    def __init__(self) -> None:
        self._own = threading.local()

    def now_ns(self) -> int:
        return int(getattr(self._own, "elapsed_ns", 0))

    def sleep(self, seconds: float) -> None:
        self._own.elapsed_ns = self.now_ns() + round(seconds * 1e9)


class ClockOnceWarm(ClockOfEachThread):
    """Costs what the test says while sessions warm up, and is the machine's clock after that."""

    def __init__(self) -> None:
        super().__init__()
        self.warm = False

    def now_ns(self) -> int:
        return SystemClock.now_ns(self) if self.warm else super().now_ns()

    def sleep(self, seconds: float) -> None:
        if self.warm:
            SystemClock.sleep(self, seconds)
        else:
            super().sleep(seconds)


class Gate:
    """A session that says what it began, and waits to be let on."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, order: str) -> str:
        self.began.append(order)
        self.entered.release()
        assert self.open.wait(PATIENCE)
        if order == "bad":
            raise ValueError("a bad order")
        return order.upper()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def pool_of() -> Iterator[Callable[..., Pool[str, str]]]:
    made: list[Pool[str, str]] = []

    def make(*sessions: Callable[[str], str], clock: Clock | None = None) -> Pool[str, str]:
        named = [(f"s{number}", session) for number, session in enumerate(sessions)]
        made.append(Pool(named, clock=clock or SystemClock()))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def submit(pool: Pool[str, str], order: str, *, due: float = 0.0, load: float = 10.0) -> Future[str]:
    return pool.submit(order, load=load, due=due)


def test_what_waits_runs_when_it_is_due_and_in_order_of_arrival_among_equals(
    gate: Gate, pool_of: Callable[..., Pool[str, str]]
) -> None:
    pool = pool_of(gate)
    futures = [submit(pool, "first")]
    assert gate.entered.acquire(timeout=PATIENCE)
    futures += [submit(pool, name, due=due) for name, due in (("late", 9), ("soon", 1), ("then", 5), ("soon too", 1))]
    assert pool.waiting == 4
    gate.open.set()
    wait(futures, PATIENCE)
    assert gate.began == ["first", "soon", "soon too", "then", "late"]
    assert [future.result() for future in futures] == ["FIRST", "LATE", "SOON", "THEN", "SOON TOO"]


def test_two_sessions_work_at_the_same_time(pool_of: Callable[..., Pool[str, str]]) -> None:
    together = threading.Barrier(2)

    def session(order: str) -> str:
        together.wait(PATIENCE)
        return order

    pool = pool_of(session, session)
    futures = [submit(pool, "a"), submit(pool, "b")]
    assert [future.result(PATIENCE) for future in futures] == ["a", "b"]
    assert [state.jobs for state in pool.states()] == [1, 1]


def test_what_was_cancelled_never_runs(gate: Gate, pool_of: Callable[..., Pool[str, str]]) -> None:
    pool = pool_of(gate)
    running = submit(pool, "running")
    assert gate.entered.acquire(timeout=PATIENCE)
    dropped, kept = submit(pool, "dropped"), submit(pool, "kept")
    assert dropped.cancel()
    assert not running.cancel()
    gate.open.set()
    assert kept.result(PATIENCE) == "KEPT"
    assert gate.began == ["running", "kept"]


def test_a_failure_belongs_to_its_order_and_teaches_nothing(gate: Gate, pool_of: Callable[..., Pool[str, str]]) -> None:
    gate.open.set()
    pool = pool_of(gate)
    with pytest.raises(ValueError, match="a bad order"):
        submit(pool, "bad").result(PATIENCE)
    (state,) = pool.states()
    assert (state.jobs, state.s_per_load) == (1, 0.0)
    assert submit(pool, "good").result(PATIENCE) == "GOOD"


def test_closing_drops_what_waits_and_lets_what_runs_finish(gate: Gate, pool_of: Callable[..., Pool[str, str]]) -> None:
    pool = pool_of(gate)
    running = submit(pool, "running")
    assert gate.entered.acquire(timeout=PATIENCE)
    waiting = submit(pool, "waiting")
    threading.Timer(0.05, gate.open.set).start()
    pool.close()
    assert running.result() == "RUNNING"
    with pytest.raises(PoolClosed):
        waiting.result()
    with pytest.raises(PoolClosed):
        submit(pool, "too late").result()


def test_warming_up_fits_every_session_and_raises_what_fails(
    gate: Gate, pool_of: Callable[..., Pool[str, str]]
) -> None:
    clock = ClockOfEachThread()

    def slow(order: str) -> str:
        clock.sleep(len(order) / 1000)
        return order

    pool = pool_of(slow, slow, clock=clock)
    pool.warm_up([("a" * 5, 5.0), ("a" * 40, 40.0)])
    assert all(state.s_per_load > 0 and not state.jobs for state in pool.states())
    gate.open.set()
    with pytest.raises(ValueError, match="a bad order"):
        pool_of(gate).warm_up([("bad", 1.0)])


def test_a_session_that_hangs_does_not_starve_the_others(gate: Gate, pool_of: Callable[..., Pool[str, str]]) -> None:
    """The quick session hangs: all that would have been its own goes to the slow one."""
    clock = ClockOnceWarm()

    def quick_one(order: str) -> str:
        clock.sleep(0.001)
        return gate(order) if clock.warm else order

    def slow_one(order: str) -> str:
        clock.sleep(0.02)
        return order

    pool = pool_of(slow_one, quick_one, clock=clock)
    pool.warm_up([("x", 10.0), ("x", 100.0)])
    clock.warm = True
    futures = [submit(pool, str(number)) for number in range(6)]
    assert len([*islice(as_completed(futures, timeout=PATIENCE), len(futures) - 1)]) == len(futures) - 1
    gate.open.set()
