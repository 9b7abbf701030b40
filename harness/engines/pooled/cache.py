"""A cache of pieces: bounded in bytes, least recently used first out, with a time to live, and single-flight.

Whoever asks for what is being computed waits for that computation. It is given up when all who waited have gone.
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


class Source(StrEnum):
    """Where a value came from."""

    HIT = "hit"
    MISS = "miss"
    JOINED = "joined"
    """Somebody else had it computed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """The account: requests by source, what was thrown out for want of room or for its age, and what is there."""

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
        """Hits / requests; None before the first. Who joined a computation had no hit, and waited."""
        asked = self.hits + self.misses + self.joined
        return self.hits / asked if asked else None


@dataclass(slots=True)
class _Entry(Generic[Value]):
    value: Value
    size: int
    expires: float


@dataclass(slots=True)
class _Flight(Generic[Value]):
    """One computation and those who wait for it. The work is missing only while its first waiter starts it."""

    waiters: list[Future[Value]]
    work: Future[Value] | None = None


class Cache(Generic[Key, Value]):
    """`limit` and `size_of` are in bytes, `ttl_s` counts from the computation's end.

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
        self._account = CacheState(limit=limit)

    @property
    def state(self) -> CacheState:
        """The account so far."""
        with self._lock:
            return replace(self._account, entries=len(self._entries))

    def get(self, key: Key, compute: Callable[[], Future[Value]]) -> tuple[Future[Value], Source]:
        """The value, perhaps still to come. `compute` starts the work, in this thread and at most once at a time.

        Cancelling the future means that its owner has gone; the work is cancelled with its last owner. A failure goes
        to all who wait, and is not kept.
        """
        waiter: Future[Value] = Future()
        with self._lock:
            entry = self._find(key)
            if entry is not None:
                self._account = replace(self._account, hits=self._account.hits + 1)
                waiter.set_result(entry.value)
                return waiter, Source.HIT
            flight = self._flights.get(key)
            joined = flight is not None
            if flight is not None:
                self._account = replace(self._account, joined=self._account.joined + 1)
                flight.waiters.append(waiter)
            else:
                self._account = replace(self._account, misses=self._account.misses + 1)
                flight = _Flight(waiters=[waiter])
                if self._limit:
                    self._flights[key] = flight
        if not joined:
            # Outside the lock: what is computed at once calls back at once, and starting may wait for other locks.
            flight.work = compute()
            flight.work.add_done_callback(lambda work: self._landed(key, flight, work))
        waiter.add_done_callback(lambda done: self._left(flight) if done.cancelled() else None)
        return waiter, Source.JOINED if joined else Source.MISS

    def _find(self, key: Key) -> "_Entry[Value] | None":
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._now() >= entry.expires:
            self._drop(key)
            self._account = replace(self._account, expired=self._account.expired + 1)
            return None
        self._entries.move_to_end(key)
        return entry

    def _landed(self, key: Key, flight: _Flight[Value], work: Future[Value]) -> None:
        """The computation has ended: keep its value, and tell all who wait."""
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
            self._account = replace(self._account, refused=self._account.refused + 1)
            return
        if key in self._entries:
            self._drop(key)
        evicted = 0
        while self._account.size + size > self._limit:
            self._drop(next(iter(self._entries)))
            evicted += 1
        self._entries[key] = _Entry(value, size, self._now() + self._ttl_s)
        self._account = replace(self._account, size=self._account.size + size, evicted=self._account.evicted + evicted)

    def _drop(self, key: Key) -> None:
        self._account = replace(self._account, size=self._account.size - self._entries.pop(key).size)

    def _left(self, flight: _Flight[Value]) -> None:
        """One who waited has gone. What already runs is let finish: its value is worth keeping."""
        with self._lock:
            if flight.work is not None and all(waiter.cancelled() for waiter in flight.waiters):
                # Under the lock, so that nobody joins what is being given up.
                flight.work.cancel()

    def _now(self) -> float:
        return self._clock.now_ns() / 1e9
