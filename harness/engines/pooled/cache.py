"""A cache of audio segments: limited in bytes, least recently used first out, with a time to live, and single-flight.

A request for a key that is being computed waits for that computation, which is cancelled with its last waiter.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from harness.core.clock import Clock

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """`limit` in bytes, 0 for no cache. `made_by` is a digest of all that made the values, a part of their keys."""

    limit: int = 0
    ttl_s: float = 3600.0
    made_by: str = ""


class Source(StrEnum):
    """Where a value came from."""

    HIT = "hit"
    MISS = "miss"
    JOINED = "joined"
    """An earlier request was computing it already."""


@dataclass(slots=True, kw_only=True)
class CacheState:
    """Requests by source, values evicted for room or expired by age, and the current content in bytes."""

    hits: int = 0
    misses: int = 0
    joined: int = 0
    evicted: int = 0
    expired: int = 0
    refused: int = 0
    """Values larger than the whole cache."""
    entries: int = 0
    size: int = 0
    limit: int = 0

    @property
    def hit_rate(self) -> float | None:
        """Hits / requests; None before the first. A request that joined a computation was no hit: it waited."""
        requests = self.hits + self.misses + self.joined
        return self.hits / requests if requests else None


@dataclass(slots=True)
class _Entry(Generic[Value]):
    value: Value
    size: int
    expires: float


@dataclass(slots=True)
class _Flight(Generic[Value]):
    """One computation and its waiters. `work` is None only until its first waiter has started it."""

    waiters: list[Future[Value]]
    work: Future[Value] | None = None


class Cache(Generic[Key, Value]):
    """`limit` and `size_of` are in bytes; `ttl_s` counts from the end of the computation.

    `size_of` has to count all that a key and its value keep alive. With a limit of 0 nothing is kept and nothing is
    shared: every request is computed.
    """

    def __init__(self, *, limit: int, ttl_s: float, size_of: Callable[[Key, Value], int], clock: "Clock") -> None:
        self._limit = limit
        self._ttl_s = ttl_s
        self._size_of = size_of
        self._clock = clock
        # Re-entrant: cancelling a computation calls back in the same thread.
        self._lock = threading.RLock()
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self._flights: dict[Key, _Flight[Value]] = {}
        self._state = CacheState(limit=limit)

    @property
    def state(self) -> CacheState:
        """A copy of the counters."""
        with self._lock:
            return replace(self._state, entries=len(self._entries))

    def get(self, key: Key, compute: Callable[[], Future[Value]]) -> tuple[Future[Value], Source]:
        """The value, perhaps still to come. `compute` starts the work, in this thread and at most once at a time.

        Cancel the future if the value is no longer needed; the work is cancelled with its last waiter. A failure goes
        to all waiters, and is not kept.
        """
        waiter: Future[Value] = Future()
        with self._lock:
            entry = self._find(key)
            if entry is not None:
                self._state.hits += 1
                waiter.set_result(entry.value)
                return waiter, Source.HIT
            flight = self._flights.get(key)
            joined = flight is not None
            if flight is not None:
                self._state.joined += 1
                flight.waiters.append(waiter)
            else:
                self._state.misses += 1
                flight = _Flight(waiters=[waiter])
                if self._limit:
                    self._flights[key] = flight
        if not joined:
            # Outside the lock: work that ends at once calls back at once, and starting it may wait for other locks.
            flight.work = compute()
            flight.work.add_done_callback(lambda work: self._complete(key, flight, work))
        waiter.add_done_callback(lambda done: self._abandon(flight) if done.cancelled() else None)
        return waiter, Source.JOINED if joined else Source.MISS

    def _find(self, key: Key) -> "_Entry[Value] | None":
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._now() >= entry.expires:
            self._drop(key)
            self._state.expired += 1
            return None
        self._entries.move_to_end(key)
        return entry

    def _complete(self, key: Key, flight: _Flight[Value], work: Future[Value]) -> None:
        """Keep the value of a computation that has ended, and pass it to the waiters."""
        failure = None if work.cancelled() else work.exception()
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if self._limit and not work.cancelled() and failure is None:
                self._keep(key, work.result())
            waiters = tuple(flight.waiters)
        for waiter in waiters:
            if work.cancelled():
                waiter.cancel()
            elif waiter.set_running_or_notify_cancel():
                if failure is None:
                    waiter.set_result(work.result())
                else:
                    waiter.set_exception(failure)

    def _keep(self, key: Key, value: Value) -> None:
        size = self._size_of(key, value)
        if size > self._limit:
            self._state.refused += 1
            return
        if key in self._entries:
            self._drop(key)
        while self._state.size + size > self._limit:
            self._drop(next(iter(self._entries)))
            self._state.evicted += 1
        self._entries[key] = _Entry(value, size, self._now() + self._ttl_s)
        self._state.size += size

    def _drop(self, key: Key) -> None:
        self._state.size -= self._entries.pop(key).size

    def _abandon(self, flight: _Flight[Value]) -> None:
        """Cancel the work if no waiter is left. Work that runs already is not cancelled: its value is worth keeping."""
        with self._lock:
            if flight.work is not None and all(waiter.cancelled() for waiter in flight.waiters):
                # Under the lock, so that no request joins work that is being cancelled.
                flight.work.cancel()

    def _now(self) -> float:
        return self._clock.now_ns() / 1e9
