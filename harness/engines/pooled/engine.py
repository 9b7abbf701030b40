"""The engine `kokoro-sentences`: kokoro-onnx by segments, on one session or several, with an optional cache.

With one session and no cache, the default, it differs from the engine `kokoro` only in where it splits a text.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineCounters, EngineFacts
from harness.engines.kokoro.engine import (
    SAMPLE_RATE,
    close_voices,
    import_kokoro,
    open_voices,
    reported_packages,
    try_language,
)
from harness.engines.kokoro.session import StampedSession, open_session, run_options
from harness.engines.pooled.cache import CacheSettings
from harness.engines.pooled.engine_settings import SessionPlan, Settings, read_settings
from harness.engines.pooled.synthesizer import Synthesizer, check_package
from harness.engines.pooled.windows.halves import Priors, halves_of
from harness.engines.pooled.windows.session import HalvesSession
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

FALL_BACK = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What was requested and cannot be had (a provider, windows), what is used instead, and the reason."""

    asked: str
    got: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A synthesizer with its facts. `close` ends its threads and sessions."""

    synthesizer: Synthesizer
    facts: EngineFacts
    close: Callable[[], None]


class SentencesEngine:
    """Accepts texts from any thread; with several sessions their segments run in parallel."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    @property
    def facts(self) -> EngineFacts:
        """The provider of each session, the versions and the options."""
        return self._opened.facts

    @property
    def synthesizer(self) -> Synthesizer:
        return self._opened.synthesizer

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """A chunk for each segment with the pause after it; without streaming, the same audio as one chunk."""
        chunks = self._chunks(request)
        if request.stream:
            yield from chunks
            return
        import numpy as np

        yield np.concatenate(list(chunks))

    def account(self) -> EngineCounters:
        """Segments since the start, by session and by source."""
        return self._opened.synthesizer.counters

    def close(self) -> None:
        """End the threads and release the sessions."""
        self._opened.close()

    def _chunks(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        with closing(self._opened.synthesizer.synthesise(request)) as answer:
            for segment in answer:
                yield segment.joined(segment.audio.result())


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> SentencesEngine:
    """Start the engine, in the parts that `load_time` is split into, and "warm_up" if that is on."""
    settings, order = read_settings(order)
    opened = open_synthesizer(order, settings, clock=clock, stages=stages)
    if settings.warm_up:
        with stages.stage("warm_up"):
            opened.synthesizer.warm_up(order.voice)
        # The inferences are a part of the warm-up, not further parts of the start-up.
        stages.marks[:] = [mark for mark in stages.marks if mark[0] != "inference"]
    return SentencesEngine(opened)


def open_synthesizer(
    order: EngineOrder,
    settings: Settings,
    *,
    clock: "Clock",
    stages: Stages,
    model_digest: str = "",
    announce: Callable[[Fallback], None] | None = None,
) -> Opened:
    """Open the sessions, the voices and the phonemiser. EngineRefusal.

    With `announce`, a provider that is not available is replaced by the CPU and announced; otherwise it is refused.
    `model_digest` is the SHA-256 of the model if it is known; otherwise the file is read if there is a cache.
    """
    with stages.stage("import"):
        kokoro_onnx = import_kokoro()
        check_package()
    digest = model_digest or (_digest(order.model_path) if settings.cache_bytes or settings.plan.window else "")
    paths, priors = [order.model_path], None
    if settings.plan.window:
        with stages.stage("session"):
            halves = _halves(order, settings, digest, announce)
        if halves is None:
            settings = replace(settings, plan=settings.otherwise or settings.plan)
        else:
            paths, priors = [str(each) for each in halves], Priors(halves[0].parent)
    sessions: list[Any] = []
    kokoros: list[Any] = []
    names: list[str] = []
    try:
        for plan in settings.sessions:
            with stages.stage("session"):
                parts, provider = _open_all(paths, order, plan, announce)
            sessions += parts
            with stages.stage("voices"):
                kokoros.append(open_voices(kokoro_onnx, order, _stand_in(parts, order, stages)))
            names.append(f"{provider}:{plan.threads or 'default'}")
        with stages.stage("phonemiser"):
            try_language(kokoros[0], order)
    except BaseException:
        _close_all(kokoros)
        raise
    facts = _facts(order, settings, kokoros, names)
    synthesizer = Synthesizer(
        list(zip(names, kokoros, strict=True)),
        clock=clock,
        stages=stages,
        cache=CacheSettings(
            limit=settings.cache_bytes,
            ttl_s=settings.cache_ttl_s,
            made_by=_fingerprint(order, facts, model_digest=digest) if settings.cache_bytes else "",
        ),
        plan=settings.plan,
        priors=priors,
    )
    profiled = sessions if order.profile else []
    return Opened(synthesizer=synthesizer, facts=facts, close=lambda: _close(synthesizer, profiled, kokoros))


def _halves(
    order: EngineOrder, settings: Settings, digest: str, announce: Callable[[Fallback], None] | None
) -> tuple[Path, Path] | None:
    """The halves of the model; None, announced, where it cannot be cut and the settings have a plan for that."""
    try:
        return halves_of(Path(order.model_path), digest)
    except EngineRefusal as refusal:
        if settings.otherwise is None:
            raise
        if announce is not None:
            asked = f"window {settings.plan.window:g}"
            announce(Fallback(asked=asked, got="the decoding of whole segments", reason=str(refusal)))
        return None


def _open_all(
    paths: list[str], order: EngineOrder, plan: SessionPlan, announce: Callable[[Fallback], None] | None
) -> tuple[list[Any], str]:
    """Sessions of the files on one provider, and its name."""
    sessions: list[Any] = []
    for path in paths:
        session, got = _open(replace(order, model_path=path), plan, announce)
        sessions.append(session)
        if got != plan.provider:
            # One announcement for all of them; the options belong to the missing provider.
            plan, order = replace(plan, provider=got), replace(order, provider_options={})
    return sessions, plan.provider


def _open(order: EngineOrder, plan: SessionPlan, announce: Callable[[Fallback], None] | None) -> tuple[Any, str]:
    """The session and its provider."""
    wanted = replace(order, provider=plan.provider, threads=plan.threads)
    try:
        return open_session(wanted), plan.provider
    except EngineRefusal as refusal:
        if announce is None or plan.provider == FALL_BACK:
            raise
        # The options belong to the missing provider.
        session = open_session(replace(wanted, provider=FALL_BACK, provider_options={}))
        announce(Fallback(asked=plan.provider, got=FALL_BACK, reason=str(refusal)))
        return session, FALL_BACK


def _stand_in(sessions: list[Any], order: EngineOrder, stages: Stages) -> Any:  # noqa: ANN401 - a session for kokoro-onnx
    """What kokoro-onnx takes for its session: the model's, or its two halves."""
    stamped = [StampedSession(session, stages, run_options(order)) for session in sessions]
    return stamped[0] if len(stamped) == 1 else HalvesSession(*stamped)


def _facts(order: EngineOrder, settings: Settings, kokoros: list[Any], names: list[str]) -> EngineFacts:
    return EngineFacts(
        providers=tuple(kokoro.sess.get_providers()[0] for kokoro in kokoros),
        packages=reported_packages(),
        options=(*sorted(order.session_options.items()), *_reported_options(settings, names)),
        sample_rate=SAMPLE_RATE,
        python=platform.python_version(),
    )


def _reported_options(settings: Settings, names: list[str]) -> tuple[tuple[str, str], ...]:
    return (
        ("sessions", "+".join(names)),
        ("warm_up", "on" if settings.warm_up else "off"),
        ("cache", f"{settings.cache_bytes / 2**20:g}"),
        ("cache_ttl", f"{settings.cache_ttl_s:g}"),
        ("first", f"{settings.plan.first}"),
        ("planned_rtf", f"{settings.plan.rtf:g}"),
        ("window", f"{settings.plan.window:g}"),
    )


def _fingerprint(order: EngineOrder, facts: EngineFacts, *, model_digest: str) -> str:
    """SHA-256 of all that changes the audio besides the text, the voice's name and the speed."""
    identity = {
        "model": model_digest,
        "voices": _digest(order.voices_path),
        "providers": facts.providers,
        "packages": facts.packages,
        "options": facts.options,
        "provider options": sorted(order.provider_options.items()),
        "seed": order.seed,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _digest(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - a path as text, as an order holds it
        return hashlib.file_digest(file, "sha256").hexdigest()


def _close(synthesizer: Synthesizer, profiled: list[Any], kokoros: list[Any]) -> None:
    synthesizer.close()
    for session in profiled:
        # ONNX Runtime writes the profile only now.
        session.end_profiling()
    _close_all(kokoros)


def _close_all(kokoros: list[Any]) -> None:
    for kokoro in kokoros:
        close_voices(kokoro)
