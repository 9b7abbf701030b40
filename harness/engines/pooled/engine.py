"""The engine `kokoro-sentences`: kokoro-onnx by segments, on one session or several, with an optional cache.

With one session and no cache, the default, it differs from the engine `kokoro` only in where it splits a text.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
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
from harness.engines.option_values import read_switch
from harness.engines.pooled.options import SENTENCES_OPTIONS
from harness.engines.pooled.splitter import FIRST, FIRST_OF_WINDOWS, WINDOW_S, Plan
from harness.engines.pooled.synthesizer import Synthesizer, check_package
from harness.engines.pooled.windows.halves import Priors, halves_of
from harness.engines.pooled.windows.session import HalvesSession
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

MOST_SESSIONS = 64
FALL_BACK = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """One session: the short name of its provider, and its intra-op threads (0: ONNX Runtime's default)."""

    provider: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parsed options. With 0 `cache_bytes` there is no cache."""

    sessions: tuple[SessionPlan, ...]
    warm_up: bool = False
    cache_bytes: int = 0
    cache_ttl_s: float = 3600.0
    plan: Plan = field(default_factory=Plan)
    otherwise: Plan | None = None
    """The plan for a model that cannot be decoded in windows; None refuses it."""


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
        """The synthesizer, for its counters."""
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
        try:
            with stages.stage("session"):
                halves = halves_of(Path(order.model_path), digest)
            paths, priors = [str(each) for each in halves], Priors(halves[0].parent)
        except EngineRefusal as refusal:
            if settings.otherwise is None:
                raise
            settings = replace(settings, plan=settings.otherwise)
            if announce is not None:
                asked = f"window {WINDOW_S:g}"
                announce(Fallback(asked=asked, got="the decoding of whole segments", reason=str(refusal)))
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
    facts = EngineFacts(
        providers=tuple(kokoro.sess.get_providers()[0] for kokoro in kokoros),
        packages=reported_packages(),
        options=(*sorted(order.session_options.items()), *_reported_options(settings, names)),
        sample_rate=SAMPLE_RATE,
        python=platform.python_version(),
    )
    synthesizer = Synthesizer(
        list(zip(names, kokoros, strict=True)),
        made_by=_fingerprint(order, facts, model_digest=digest) if settings.cache_bytes else "",
        cache_bytes=settings.cache_bytes,
        cache_ttl_s=settings.cache_ttl_s,
        clock=clock,
        stages=stages,
        plan=settings.plan,
        priors=priors,
    )

    def close() -> None:
        synthesizer.close()
        for session in sessions if order.profile else ():
            # ONNX Runtime writes the profile only now.
            session.end_profiling()
        _close_all(kokoros)

    return Opened(synthesizer=synthesizer, facts=facts, close=close)


def read_settings(order: EngineOrder) -> tuple[Settings, EngineOrder]:
    """The options of this engine, and the order with the remaining options. EngineRefusal for an invalid value."""
    given = {name: value for name, value in order.session_options.items() if name in SENTENCES_OPTIONS}
    left = {name: value for name, value in order.session_options.items() if name not in SENTENCES_OPTIONS}
    window, needed = _window(given.get("window", "0"))
    rtf = _number("planned_rtf", given.get("planned_rtf", f"{Plan().rtf}"), least=0.2, most=1)

    def plan(window: float) -> Plan:
        usual = FIRST_OF_WINDOWS if window else FIRST
        return Plan(
            first=round(_number("first", given.get("first", f"{usual}"), least=16, most=180)), rtf=rtf, window=window
        )

    settings = Settings(
        sessions=_plans(given.get("sessions", "1"), order),
        warm_up=read_switch("option warm_up", given.get("warm_up", "off")),
        cache_bytes=round(_number("cache", given.get("cache", "0")) * 2**20),
        cache_ttl_s=_number("cache_ttl", given.get("cache_ttl", "3600")),
        plan=plan(window),
        otherwise=None if needed else plan(0.0),
    )
    return settings, replace(order, session_options=left)


def _plans(text: str, order: EngineOrder) -> tuple[SessionPlan, ...]:
    if text.isdecimal() and 1 <= int(text) <= MOST_SESSIONS:
        count = int(text)
        threads = order.threads if count == 1 else max(1, (order.threads or _usable_cpus()) // count)
        return (SessionPlan(provider=order.provider, threads=threads),) * count
    plans: list[SessionPlan] = []
    for each in text.split("+"):
        provider, _, count_text = each.partition(":")
        if not provider or not count_text.isdecimal() or len(plans) == MOST_SESSIONS:
            raise EngineRefusal(
                f"option sessions takes {SENTENCES_OPTIONS['sessions']}, at most {MOST_SESSIONS}; not {text!r}"
            )
        plans.append(SessionPlan(provider=provider, threads=int(count_text)))
    return tuple(plans)


def _usable_cpus() -> int:
    """The CPUs that this process may run on; all of the machine's if the platform does not tell."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _number(name: str, text: str, *, least: float = 0, most: float = 1e9) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        raise EngineRefusal(f"option {name} takes a number, {SENTENCES_OPTIONS[name]}; not {text!r}")
    return number


def _window(text: str) -> tuple[float, bool]:
    """The seconds of a window, and whether a model that cannot be decoded so is refused."""
    if text == "auto":
        return WINDOW_S, False
    return (0.0 if text == "0" else _number("window", text, least=0.5, most=5)), True


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


def _close_all(kokoros: list[Any]) -> None:
    for kokoro in kokoros:
        close_voices(kokoro)
