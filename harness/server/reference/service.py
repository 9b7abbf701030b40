"""The service behind the routes: a synthesizer that loads in the background, admission of requests, and statistics."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.core.exposition import Exposition, counter, exposed, gauge
from harness.engines.pooled.engine import Fallback, Opened
from harness.engines.pooled.planned_rtf import PlannedRtf, RtfSource, warm_up_and_measure
from harness.server.reference.statistics import Statistics

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from harness.core.clock import Clock
    from harness.engines.pooled.synthesizer import Synthesizer
    from harness.server.reference.settings import Settings

Announce = Callable[[Fallback], None]
Open = Callable[[Announce], Opened]
MIN_RETRY_S = 1
"""HTTP's Retry-After counts whole seconds."""


class State(StrEnum):
    """The state of a server."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """Asked to stop: answers in progress continue, no other starts."""
    FAILED = "failed"


class Unavailable(Exception):  # noqa: N818 - it is an answer, not an accident
    """The server cannot answer now: `status` is 429 or 503. The client may retry after `retry_s` seconds."""

    def __init__(self, sentence: str, *, status: int, retry_s: int) -> None:
        self.status = status
        self.retry_s = retry_s
        super().__init__(sentence)


class Service:
    """Everything but HTTP. It belongs to one event loop, except for `drain`, which a signal handler may call."""

    def __init__(
        self,
        settings: "Settings",
        *,
        open_synthesizer: Open,
        clock: "Clock",
        announce: Announce = lambda _: None,
        announce_rtf: Callable[[PlannedRtf], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.statistics = Statistics()
        self.state = State.STARTING
        self.reason = "the model is being loaded"
        self.failure: BaseException | None = None
        self.fallbacks: list[Fallback] = []
        self._open = open_synthesizer
        self._announce = announce
        self._announce_rtf = announce_rtf
        self._planned: PlannedRtf | None = None
        self._opened: Opened | None = None
        self._clients = Counter[str]()

    async def load(self) -> None:
        """Load and warm up the synthesizer in a thread. A failure sets `failure`, `state` and `reason`."""
        try:
            opened = await asyncio.to_thread(self._open, self._note_fallback)
            self._opened = opened
            if self.settings.warm_up:
                self.reason = "the sessions are being warmed up"
            self._planned = await asyncio.to_thread(self._warm_up, opened.synthesizer)
        except Exception as error:  # noqa: BLE001 - every failure is reported to the owner of the server
            self.failure = error
            self.state, self.reason = State.FAILED, f"{type(error).__name__}: {error}"
            return
        if self.state is State.STARTING:
            self.state, self.reason = State.READY, ""
            self._announce_rtf(self._planned)

    def _warm_up(self, synthesizer: "Synthesizer") -> PlannedRtf:
        """Warm up as the settings say, and plan the segments."""
        voice, source = self.settings.voice, self.settings.rtf_source
        if source is RtfSource.MEASURED:
            found = warm_up_and_measure(synthesizer, voice, go_on=self._starts) if self.settings.warm_up else None
            if found:
                synthesizer.plan = replace(synthesizer.plan, rtf=found.planned)
                return found
            source = RtfSource.DEFAULT
        elif self.settings.warm_up:
            synthesizer.warm_up(voice, go_on=self._starts)
        return PlannedRtf(planned=synthesizer.plan.rtf, source=source)

    def _starts(self) -> bool:
        return self.state is State.STARTING

    def drain(self) -> None:
        """Start no more answers, and no more pieces of the warm-up."""
        if self.state is not State.FAILED:
            self.state, self.reason = State.DRAINING, "the server is stopping"

    def close(self) -> None:
        """End the sessions and drop their pending work."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def synthesizer(self) -> "Synthesizer":
        """The synthesizer. Raises Unavailable until it is warm."""
        if self.state is not State.READY or self._opened is None:
            raise Unavailable(self.reason, status=503, retry_s=MIN_RETRY_S)
        return self._opened.synthesizer

    @property
    def answering(self) -> int:
        """The number of answers in progress."""
        return self._clients.total()

    @contextmanager
    def admit(self, client: str) -> Iterator["Synthesizer"]:
        """Admit one answer to `client` (an address) for the context. Raises Unavailable without a free place."""
        synthesizer = self.synthesizer
        settings = self.settings
        if settings.per_client and self._clients[client] >= settings.per_client:
            sentence = f"{self._clients[client]} answers to this address are in progress, as many as are allowed"
            raise Unavailable(sentence, status=429, retry_s=self._retry_s(synthesizer))
        if self.answering >= settings.concurrency:
            sentence = f"{self.answering} answers are in progress, as many as there is room for"
            raise Unavailable(sentence, status=503, retry_s=self._retry_s(synthesizer))
        self._clients[client] += 1
        try:
            yield synthesizer
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def provider_header(self) -> str:
        """The names of the providers in use, without repeats."""
        return ", ".join(dict.fromkeys(self._opened.facts.providers)) if self._opened else ""

    def status(self) -> dict[str, object]:
        """The complete status, for people."""
        report: dict[str, object] = {
            "status": self.state.value,
            "detail": self.reason,
            "answering": self.answering,
            "fallbacks": [asdict(each) for each in self.fallbacks],
            "statistics": self.statistics.report(),
        }
        if self._opened is not None:
            synthesizer, facts = self._opened.synthesizer, self._opened.facts
            cache = synthesizer.cache_state
            report |= {
                "providers": facts.providers,
                "packages": dict(facts.packages),
                "options": self._options(),
                "planned_rtf": self._planned.report() if self._planned else None,
                "sessions": [asdict(state) for state in synthesizer.pool.states()],
                "waiting_pieces": synthesizer.pool.waiting,
                "backlog_s": synthesizer.pool.backlog_s(),
                "cache": {**asdict(cache), "hit_rate": cache.hit_rate},
            }
        return report

    def cache_status(self) -> dict[str, object]:
        """The cache's counters, in text segments and bytes. Raises Unavailable until the sessions are warm."""
        cache = self.synthesizer.cache_state
        return {"enabled": cache.limit > 0, **asdict(cache), "hit_rate": cache.hit_rate}

    def optimization_status(self) -> dict[str, object]:
        """The sessions' providers, options and counters. Raises Unavailable until the sessions are warm."""
        pool = self.synthesizer.pool
        assert self._opened is not None  # noqa: S101 - for the type checker; an available synthesizer was opened
        return {
            "providers": self._opened.facts.providers,
            "options": self._options(),
            "fallbacks": [asdict(each) for each in self.fallbacks],
            "sessions": [asdict(state) for state in pool.states()],
            "waiting_pieces": pool.waiting,
            "backlog_s": pool.backlog_s(),
        }

    def _options(self) -> dict[str, str]:
        """The options of the sessions, with the planned real-time factor in use."""
        assert self._opened is not None  # noqa: S101 - for the type checker
        return dict(self._opened.facts.options) | {"planned_rtf": f"{self._opened.synthesizer.plan.rtf:g}"}

    def startup_progress(self) -> dict[str, object]:
        """The steps until the server is ready, and the share of finished steps."""
        steps = {"load": self._opened is not None}
        if self.settings.warm_up:
            steps["warm_up"] = self.state in (State.READY, State.DRAINING)
        return {
            "status": self.state.value,
            "detail": self.reason,
            "steps": steps,
            "progress": sum(steps.values()) / len(steps),
        }

    def exposition(self, accept: str = "") -> Exposition:
        """Metrics for Prometheus, in the format that the `Accept` header asks for."""
        metrics = [
            gauge("kokoro_ready", "1 while the server is ready", [({}, int(self.state is State.READY))]),
            gauge("kokoro_answering", "requests that are being answered", [({}, self.answering)]),
            gauge("kokoro_provider_fallbacks", "sessions on another provider", [({}, len(self.fallbacks))]),
            *self.statistics.exposition(),
        ]
        if self._opened is not None:
            metrics += _pool_and_cache(self._opened.synthesizer)
        return exposed(metrics, accept=accept)

    def _note_fallback(self, fallback: Fallback) -> None:
        self.fallbacks.append(fallback)
        self._announce(fallback)

    @staticmethod
    def _retry_s(synthesizer: "Synthesizer") -> int:
        return max(MIN_RETRY_S, math.ceil(synthesizer.pool.backlog_s()))


def _pool_and_cache(synthesizer: "Synthesizer") -> "list[Metric]":
    cache = synthesizer.cache_state
    pieces = {"hit": cache.hits, "miss": cache.misses, "joined": cache.joined}
    states = synthesizer.pool.states()
    sessions = [{"session": str(number), "name": state.name} for number, state in enumerate(states)]
    jobs, busy_s = [state.jobs for state in states], [state.busy_s for state in states]
    found = [({"source": name}, n) for name, n in pieces.items()]
    return [
        counter("kokoro_cache_pieces", "pieces of text, by what the cache had of them", found),
        gauge("kokoro_cache_bytes", "size of the cache", [({}, cache.size)]),
        gauge("kokoro_waiting_pieces", "pieces of text that wait for a session", [({}, synthesizer.pool.waiting)]),
        counter("kokoro_session_pieces", "pieces of text of each session", zip(sessions, jobs, strict=True)),
        counter("kokoro_session_busy_seconds", "time at work of each session", zip(sessions, busy_s, strict=True)),
    ]
