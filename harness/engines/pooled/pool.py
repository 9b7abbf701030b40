"""A pool of sessions, each with its own thread. Waiting jobs run in the order of their due times.

A session is a function that runs one job of a known load (phonemes / speed); the pool knows nothing of speech. ONNX
Runtime releases Python's global lock while it runs, so the sessions work in parallel.
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

RECHECK_S = 0.05
"""How often an idle session that leaves the waiting jobs to a faster one checks whether that is still right."""


class PoolClosed(Exception):  # noqa: N818 - an expected outcome
    """The pool was closed before the job ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """The counters of a session, the coefficients of its `CostModel`, and whether it runs a job now."""

    name: str
    jobs: int
    busy_s: float
    fixed_s: float
    s_per_load: float
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed(Generic[Result]):
    """A job of a warm-up that has run: its load, how long it took, and its result."""

    load: float
    seconds: float
    result: Result


@dataclass(slots=True, order=True)
class _Job(Generic[Order, Result]):
    due: float
    number: int
    load: float = field(compare=False)
    order: Order = field(compare=False)
    future: Future[Result] = field(compare=False)


@dataclass(slots=True)
class _Session(Generic[Order, Result]):
    """A session with its counters. While it runs a job, `load` is that of the job and `began` its start in seconds."""

    name: str
    run: Callable[[Order], Result]
    cost: CostModel = field(default_factory=CostModel)
    load: float = 0.0
    began: float | None = None
    jobs: int = 0
    busy_s: float = 0.0


class Pool(Generic[Order, Result]):
    """Runs orders on its sessions. Every method may be called from any thread."""

    def __init__(self, sessions: Sequence[tuple[str, Callable[[Order], Result]]], *, clock: "Clock") -> None:
        self._clock = clock
        self._sessions = [_Session(name, run) for name, run in sessions]
        self._waiting: list[_Job[Order, Result]] = []
        self._changed = threading.Condition()
        self._submitted = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"session {session.name}", daemon=True)
            for number, session in enumerate(self._sessions)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def size(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a session."""
        with self._changed:
            self._remove_cancelled()
            return len(self._waiting)

    def submit(self, order: Order, *, load: float, due: float) -> Future[Result]:
        """Queue `order`; `due` (seconds on the clock) decides its position. A waiting job can be cancelled.

        Later jobs have later due times, so that no job starves. The future raises PoolClosed if the pool is closed.
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

    def warm_up(
        self, orders: Sequence[tuple[Order, float]], *, go_on: Callable[[], bool] = lambda: True
    ) -> list[list[Timed[Result]]]:
        """Run each order (with its load) on every session, all sessions in parallel, so that their costs are known.

        Return the runs of each session. No order is begun once `go_on` returns False. Raises what a session raises.
        Submit nothing else meanwhile.
        """
        failures: list[Exception] = []
        timed: list[list[Timed[Result]]] = [[] for _ in self._sessions]

        def run(session: _Session[Order, Result], runs: list[Timed[Result]]) -> None:
            try:
                for order, load in takewhile(lambda _: go_on(), orders):
                    start = self._now()
                    result = session.run(order)
                    runs.append(Timed(load=load, seconds=self._now() - start, result=result))
                    session.cost.observe(load, runs[-1].seconds)
            except Exception as error:  # noqa: BLE001 - the caller receives whatever a session raises
                failures.append(error)

        threads = [
            threading.Thread(target=run, args=(session, runs), name=f"warm-up {session.name}")
            for session, runs in zip(self._sessions, timed, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return timed

    def backlog_s(self) -> float:
        """Predicted seconds until all waiting and running jobs are done, shared evenly by the sessions."""
        with self._changed:
            self._remove_cancelled()
            left = sum(running.left for running in self._running() if running)
            costs = [session.cost for session in self._sessions]
            ahead = sum(min(cost.predict(job.load) for cost in costs) for job in self._waiting)
            return (left + ahead) / max(1, len(self._sessions))

    def states(self) -> tuple[SessionState, ...]:
        with self._changed:
            return tuple(
                SessionState(
                    name=session.name,
                    jobs=session.jobs,
                    busy_s=session.busy_s,
                    fixed_s=session.cost.coefficients[0],
                    s_per_load=session.cost.coefficients[1],
                    running=session.began is not None,
                )
                for session in self._sessions
            )

    def close(self) -> None:
        """Drop the waiting jobs, let the running ones finish, and end the threads."""
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
        """Run jobs until the pool is closed. Callbacks of futures run in this thread, so they must be quick."""
        session = self._sessions[number]
        while (job := self._next(number)) is not None:
            start = self._now()
            try:
                result = session.run(job.order)
            except BaseException as error:  # noqa: BLE001 - passed to the waiter; the session goes on
                self._record(session, self._now() - start)
                job.future.set_exception(error)
            else:
                self._record(session, self._now() - start, load=job.load)
                job.future.set_result(result)

    def _record(self, session: _Session[Order, Result], seconds: float, *, load: float | None = None) -> None:
        """Count a run that has ended. `load` is None for one that failed, which says nothing of the costs."""
        with self._changed:
            session.began, session.jobs, session.busy_s = None, session.jobs + 1, session.busy_s + seconds
            if load is not None:
                session.cost.observe(load, seconds)
            self._changed.notify_all()

    def _next(self, number: int) -> "_Job[Order, Result] | None":
        """Wait for the next job of session `number`; None once the pool is closed."""
        session = self._sessions[number]
        with self._changed:
            while not self._closed:
                self._remove_cancelled()
                index = choose(
                    number,
                    [job.load for job in self._waiting],
                    costs=[each.cost for each in self._sessions],
                    running=self._running(),
                )
                if index is None:
                    self._changed.wait(RECHECK_S if self._waiting else None)
                    continue
                job = self._waiting.pop(index)
                if job.future.set_running_or_notify_cancel():
                    session.began, session.load = self._now(), job.load
                    # The rest of the queue may now be assigned to another idle session.
                    self._changed.notify_all()
                    return job
        return None

    def _running(self) -> list[Running | None]:
        now = self._now()
        return [
            Running(predicted=each.cost.predict(each.load), passed=now - each.began) if each.began is not None else None
            for each in self._sessions
        ]

    def _remove_cancelled(self) -> None:
        self._waiting = [job for job in self._waiting if not job.future.cancelled()]

    def _now(self) -> float:
        return self._clock.now_ns() / 1e9
