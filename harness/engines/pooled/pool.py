"""Several sessions side by side, each with a thread of its own; what waits is run in the order in which it is due.

A session is whatever runs a job of a known load (phonemes / speed); the pool knows nothing of speech. ONNX Runtime lets
go of Python's lock while it runs, so the sessions work at the same time.
"""

import threading
from bisect import insort
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Generic, TypeVar

from harness.engines.pooled.router import CostModel, Running, choose

if TYPE_CHECKING:
    from harness.core.clock import Clock

Order = TypeVar("Order")
Result = TypeVar("Result")

LOOK_AGAIN_S = 0.05
"""An idle session that leaves the work to a quicker one looks so often whether that is still right."""


class PoolClosed(Exception):  # noqa: N818 - it is an answer, not an accident
    """The pool was closed before the job could run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState:
    """What a session has done: jobs, seconds at work, and the line by which it is predicted."""

    name: str
    jobs: int
    busy_s: float
    fixed_s: float
    s_per_load: float
    running: bool


@dataclass(slots=True, order=True)
class _Job(Generic[Order, Result]):
    due: float
    number: int
    load: float = field(compare=False)
    order: Order = field(compare=False)
    future: Future[Result] = field(compare=False)


@dataclass(slots=True)
class _Lane(Generic[Order, Result]):
    name: str
    run: Callable[[Order], Result]
    line: CostModel = field(default_factory=CostModel)
    load: float = 0.0
    began: float | None = None
    jobs: int = 0
    busy_s: float = 0.0


class Pool(Generic[Order, Result]):
    """Runs orders on its sessions. Every method may be called from any thread."""

    def __init__(self, sessions: Sequence[tuple[str, Callable[[Order], Result]]], *, clock: "Clock") -> None:
        self._clock = clock
        self._lanes = [_Lane(name, run) for name, run in sessions]
        self._waiting: list[_Job[Order, Result]] = []
        self._changed = threading.Condition()
        self._submitted = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"session {lane.name}", daemon=True)
            for number, lane in enumerate(self._lanes)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def size(self) -> int:
        """How many sessions there are."""
        return len(self._lanes)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a session."""
        with self._changed:
            self._forget_cancelled()
            return len(self._waiting)

    def submit(self, order: Order, *, load: float, due: float) -> Future[Result]:
        """Have `order` run; `due` (seconds on the clock) decides its place in line. A waiting one can be cancelled.

        As time goes by, whatever waits becomes the one that was due first: nobody starves. PoolClosed from the future.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                future.set_exception(PoolClosed("the pool is closed"))
                return future
            self._submitted += 1
            insort(self._waiting, _Job(due, self._submitted, load, order, future))
            self._changed.notify_all()
        return future

    def warm_up(self, orders: Sequence[tuple[Order, float]], *, go_on: Callable[[], bool] = lambda: True) -> None:
        """Run each order (with its load) on every session, all sessions at once, so that each knows its costs.

        No order is begun once `go_on` returns False. Raises what a session raises. Nothing else should be submitted
        meanwhile.
        """
        failures: list[Exception] = []

        def run(lane: _Lane[Order, Result]) -> None:
            try:
                for order, load in takewhile(lambda _: go_on(), orders):
                    start = self._now()
                    lane.run(order)
                    lane.line.observe(load, self._now() - start)
            except Exception as error:  # noqa: BLE001 - the caller receives whatever a session raises
                failures.append(error)

        threads = [threading.Thread(target=run, args=(lane,), name=f"warm-up {lane.name}") for lane in self._lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def backlog_s(self) -> float:
        """Predicted seconds until all that waits or runs is done, shared evenly by the sessions."""
        with self._changed:
            self._forget_cancelled()
            left = sum(running.left for running in self._running() if running)
            rates = [lane.line for lane in self._lanes]
            ahead = sum(min(line.predict(job.load) for line in rates) for job in self._waiting)
            return (left + ahead) / max(1, len(self._lanes))

    def states(self) -> tuple[LaneState, ...]:
        """Every session's account."""
        with self._changed:
            return tuple(
                LaneState(
                    name=lane.name,
                    jobs=lane.jobs,
                    busy_s=lane.busy_s,
                    fixed_s=lane.line.coefficients[0],
                    s_per_load=lane.line.coefficients[1],
                    running=lane.began is not None,
                )
                for lane in self._lanes
            )

    def close(self) -> None:
        """Drop what waits, let what runs finish, end the threads."""
        with self._changed:
            self._closed = True
            dropped, self._waiting = self._waiting, []
            self._changed.notify_all()
        for job in dropped:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(PoolClosed("the pool was closed"))
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        """A session's life. Callbacks of futures run here, so they must be quick."""
        lane = self._lanes[number]
        while (job := self._next(number)) is not None:
            start = self._now()
            try:
                result = lane.run(job.order)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits; the session goes on
                self._account_for(lane, self._now() - start)
                job.future.set_exception(error)
            else:
                self._account_for(lane, self._now() - start, load=job.load)
                job.future.set_result(result)

    def _account_for(self, lane: _Lane[Order, Result], seconds: float, *, load: float | None = None) -> None:
        """A run is over; `load` is there where it teaches something."""
        with self._changed:
            lane.began, lane.jobs, lane.busy_s = None, lane.jobs + 1, lane.busy_s + seconds
            if load is not None:
                lane.line.observe(load, seconds)
            self._changed.notify_all()

    def _next(self, number: int) -> "_Job[Order, Result] | None":
        """Wait for the next job of lane `number`; None at the end."""
        lane = self._lanes[number]
        with self._changed:
            while not self._closed:
                self._forget_cancelled()
                place = choose(
                    number,
                    [job.load for job in self._waiting],
                    lines=[each.line for each in self._lanes],
                    running=self._running(),
                )
                if place is None:
                    self._changed.wait(LOOK_AGAIN_S if self._waiting else None)
                    continue
                job = self._waiting.pop(place)
                if job.future.set_running_or_notify_cancel():
                    lane.began, lane.load = self._now(), job.load
                    # What is left in line may now belong to another idle session.
                    self._changed.notify_all()
                    return job
        return None

    def _running(self) -> list[Running | None]:
        now = self._now()
        return [
            None if lane.began is None else Running(predicted=lane.line.predict(lane.load), passed=now - lane.began)
            for lane in self._lanes
        ]

    def _forget_cancelled(self) -> None:
        self._waiting = [job for job in self._waiting if not job.future.cancelled()]

    def _now(self) -> float:
        return self._clock.now_ns() / 1e9
