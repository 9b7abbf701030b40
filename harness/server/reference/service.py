"""What the server serves: a speaker that loads in the background, seats for those who listen, and the accounts."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.core.exposition import metric_lines
from harness.engines.pooled.engine import Fallback, Opened
from harness.server.reference.statistics import Statistics

if TYPE_CHECKING:
    from harness.core.clock import Clock
    from harness.engines.pooled.synthesizer import Synthesizer
    from harness.server.reference.settings import Settings

Announce = Callable[[Fallback], None]
Open = Callable[[Announce], Opened]
LEAST_RETRY_S = 1
"""HTTP's Retry-After counts whole seconds."""


class State(StrEnum):
    """Where a server is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """Told to stop: answers in progress go on, no other is begun."""
    FAILED = "failed"


class Unavailable(Exception):  # noqa: N818 - it is an answer, not an accident
    """There is no room, or not yet, or no more: `status` is 429 or 503, to be tried again after `retry_s`."""

    def __init__(self, sentence: str, *, status: int, retry_s: int) -> None:
        self.status = status
        self.retry_s = retry_s
        super().__init__(sentence)


class Service:
    """All but HTTP. It belongs to one event loop, except for `drain`, which a signal's handler may call."""

    def __init__(
        self, settings: "Settings", *, open_speaker: Open, clock: "Clock", announce: Announce = lambda _: None
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.statistics = Statistics()
        self.state = State.STARTING
        self.reason = "the model is being loaded"
        self.failure: BaseException | None = None
        self.fallbacks: list[Fallback] = []
        self._open = open_speaker
        self._announce = announce
        self._opened: Opened | None = None
        self._clients = Counter[str]()

    async def load(self) -> None:
        """Open the speaker and warm it up, off the event loop. A failure is kept in `failure`, and the state tells."""
        try:
            opened = await asyncio.to_thread(self._open, self._fell_back)
            self._opened = opened
            if self.settings.warm_up:
                self.reason = "the sessions are being warmed up"
                await asyncio.to_thread(opened.speaker.warm_up, self.settings.voice)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the server's owner hears of it
            self.failure = error
            self.state, self.reason = State.FAILED, f"{type(error).__name__}: {error}"
            return
        if self.state is State.STARTING:
            self.state, self.reason = State.READY, ""

    def drain(self) -> None:
        """Begin no more answers."""
        if self.state is not State.FAILED:
            self.state, self.reason = State.DRAINING, "the server is stopping"

    def close(self) -> None:
        """End the sessions; what still waits in them is dropped."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def speaker(self) -> "Synthesizer":
        """Who speaks. Unavailable until it is warm."""
        if self.state is not State.READY or self._opened is None:
            raise Unavailable(self.reason, status=503, retry_s=LEAST_RETRY_S)
        return self._opened.speaker

    @property
    def answering(self) -> int:
        """Answers in progress."""
        return self._clients.total()

    @contextmanager
    def seat(self, client: str) -> Iterator["Synthesizer"]:
        """A place for one answer to `client` (an address), while it lasts. Unavailable where there is none."""
        speaker = self.speaker
        settings = self.settings
        if settings.per_client and self._clients[client] >= settings.per_client:
            sentence = f"{self._clients[client]} answers to this address are in progress, as many as are allowed"
            raise Unavailable(sentence, status=429, retry_s=self._retry_s(speaker))
        if self.answering >= settings.concurrency:
            sentence = f"{self.answering} answers are in progress, as many as there is room for"
            raise Unavailable(sentence, status=503, retry_s=self._retry_s(speaker))
        self._clients[client] += 1
        try:
            yield speaker
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def provider_header(self) -> str:
        """The providers that speak, once each."""
        return ", ".join(dict.fromkeys(self._opened.facts.providers)) if self._opened else ""

    def status(self) -> dict[str, object]:
        """Everything that a person may want to know."""
        told: dict[str, object] = {
            "status": self.state.value,
            "detail": self.reason,
            "answering": self.answering,
            "fallbacks": [asdict(each) for each in self.fallbacks],
            "statistics": self.statistics.report(),
        }
        if self._opened is not None:
            speaker, facts = self._opened.speaker, self._opened.facts
            cache = speaker.cache_state
            told |= {
                "providers": facts.providers,
                "packages": dict(facts.packages),
                "options": dict(facts.options),
                "sessions": [asdict(state) for state in speaker.pool.states()],
                "waiting_pieces": speaker.pool.waiting,
                "backlog_s": speaker.pool.backlog_s(),
                "cache": {**asdict(cache), "hit_rate": cache.hit_rate},
            }
        return told

    def cache_status(self) -> dict[str, object]:
        """The cache's account, in pieces of texts and bytes. Unavailable until the sessions are warm."""
        cache = self.speaker.cache_state
        return {"enabled": cache.limit > 0, **asdict(cache), "hit_rate": cache.hit_rate}

    def optimization_status(self) -> dict[str, object]:
        """What the sessions run on, how they are set, and how much each has spoken. Unavailable as above."""
        pool = self.speaker.pool
        assert self._opened is not None  # noqa: S101 - for the type checker; who speaks was opened
        return {
            "providers": self._opened.facts.providers,
            "options": dict(self._opened.facts.options),
            "fallbacks": [asdict(each) for each in self.fallbacks],
            "sessions": [asdict(state) for state in pool.states()],
            "waiting_pieces": pool.waiting,
            "backlog_s": pool.backlog_s(),
        }

    def startup_progress(self) -> dict[str, object]:
        """The steps until the server is ready, and the share of them that is done."""
        steps = {"load": self._opened is not None}
        if self.settings.warm_up:
            steps["warm_up"] = self.state in (State.READY, State.DRAINING)
        return {
            "status": self.state.value,
            "detail": self.reason,
            "steps": steps,
            "progress": sum(steps.values()) / len(steps),
        }

    def exposition(self) -> str:
        """The same for Prometheus, in its text format."""
        lines = [
            *metric_lines("kokoro_ready", "gauge", [({}, int(self.state is State.READY))]),
            *metric_lines("kokoro_answering", "gauge", [({}, self.answering)]),
            *metric_lines("kokoro_provider_fallbacks", "gauge", [({}, len(self.fallbacks))]),
            *self.statistics.exposition(),
        ]
        if self._opened is not None:
            lines += _machinery(self._opened.speaker)
        return "\n".join(lines) + "\n"

    def _fell_back(self, fallback: Fallback) -> None:
        self.fallbacks.append(fallback)
        self._announce(fallback)

    @staticmethod
    def _retry_s(speaker: "Synthesizer") -> int:
        return max(LEAST_RETRY_S, math.ceil(speaker.pool.backlog_s()))


def _machinery(speaker: "Synthesizer") -> list[str]:
    """Sessions and cache."""
    cache = speaker.cache_state
    pieces = {"hit": cache.hits, "miss": cache.misses, "joined": cache.joined}
    states = speaker.pool.states()
    sessions = [{"session": str(number), "name": state.name} for number, state in enumerate(states)]
    jobs, busy_s = [state.jobs for state in states], [state.busy_s for state in states]
    return [
        *metric_lines("kokoro_cache_pieces_total", "counter", (({"source": name}, n) for name, n in pieces.items())),
        *metric_lines("kokoro_cache_bytes", "gauge", [({}, cache.size)]),
        *metric_lines("kokoro_waiting_pieces", "gauge", [({}, speaker.pool.waiting)]),
        *metric_lines("kokoro_session_pieces_total", "counter", zip(sessions, jobs, strict=True)),
        *metric_lines("kokoro_session_busy_seconds_total", "counter", zip(sessions, busy_s, strict=True)),
    ]
