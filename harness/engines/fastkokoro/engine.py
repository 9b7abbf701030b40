"""fastkokoro as an engine: another implementation of Kokoro, on the same model and voices, in a runtime of its own.

It simplifies a model for the CPU when it first sees it and keeps the result in its own cache, and cuts streamed text as
its server does. Its settings come from its environment variables, except for those that an arm sets.
"""

import asyncio
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineFacts
from harness.engines.builds import installed_versions
from harness.engines.fastkokoro.options import chosen_fields
from harness.engines.kokoro.engine import SAMPLE_RATE, reported_packages, stamped
from harness.engines.kokoro.session import StampedSession
from harness.engines.languages import DEFAULT
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.providers import find_provider, why_absent
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

SLOWEST, FASTEST = 1.0, 2.0
"""The speeds that fastkokoro takes; others are an assertion error in it."""
PCM_SCALE = 32_768


class FastKokoroEngine:
    """One `FastKokoro` object, whose public methods give 16-bit PCM."""

    def __init__(self, engine: Any, facts: EngineFacts) -> None:  # noqa: ANN401 - untyped library
        self._engine = engine
        self.facts = facts
        self._loop = asyncio.new_event_loop()

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Frames of a stream as fastkokoro yields them, by default of 200 ms; a whole text is one chunk."""
        if request.is_phonemes:
            raise SpeechFailure("fastkokoro reads text, not phonemes", fault="phonemes")
        if not SLOWEST <= request.speed <= FASTEST:
            raise SpeechFailure(f"speed {request.speed:g} is not within {SLOWEST:g} to {FASTEST:g}", fault="speed")
        spoken = {
            "voice": request.voice,
            "speed": request.speed,
            "lang": request.language or None,
            "response_format": "pcm",
        }
        if not request.stream:
            yield _floats(self._engine.create(request.text, **spoken))
            return
        chunks = self._engine.create_stream(request.text, **spoken)
        try:
            while True:
                try:
                    chunk = self._loop.run_until_complete(anext(chunks))
                except StopAsyncIteration:
                    return
                yield _floats(chunk)
        finally:
            self._loop.run_until_complete(chunks.aclose())

    def close(self) -> None:
        """Close the event loop; the session goes with the object."""
        self._loop.close()
        self._engine = None


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> FastKokoroEngine:
    """Start fastkokoro. Its stage "session" includes the voices, and simplifying a model that is new to it."""
    del clock
    if order.profile:
        raise EngineRefusal("fastkokoro writes no profile of ONNX Runtime")
    with stages.stage("import"):
        try:
            import onnxruntime as ort
            from fastkokoro.config import Settings
            from fastkokoro.engine import FastKokoro
        except ImportError as error:
            raise EngineRefusal(
                f"not installed in this environment: {error.name or error}; an arm brings it: "
                "'fastkokoro[cpu]==0.7.0,engine=fastkokoro'"
            ) from error
    settings = replace(Settings.from_env(), **_settings(order, ort))
    with stages.stage("session"):
        try:
            engine = FastKokoro(settings)
        except Exception as error:
            raise EngineRefusal(f"fastkokoro cannot start: {' '.join(str(error).split())}") from error
    if order.voice not in engine.voices():
        raise EngineRefusal(f"voice {order.voice!r} is not in the voices file; it has {', '.join(engine.voices())}")
    with stages.stage("phonemiser"):
        engine.kokoro.tokenizer.phonemize("Hello.", order.language or DEFAULT)
    providers = tuple(engine.session.get_providers())
    engine.session = StampedSession(engine.session, stages)
    engine.kokoro.tokenizer.phonemize = stamped(engine.kokoro.tokenizer.phonemize, stages)
    facts = EngineFacts(
        providers=providers,
        packages=(*installed_versions(("fastkokoro",)), *reported_packages()),
        options=tuple(sorted(order.session_options.items())),
        sample_rate=SAMPLE_RATE,
        python=platform.python_version(),
    )
    return FastKokoroEngine(engine, facts)


def _settings(order: EngineOrder, ort: Any) -> dict[str, Any]:  # noqa: ANN401 - a module
    """The fields of fastkokoro's settings that an arm decides. EngineRefusal where it has no such setting."""
    provider = find_provider(order.provider)
    if provider is None:
        raise EngineRefusal(f"unknown provider {order.provider!r}")
    if provider.ort not in (available := ort.get_available_providers()):
        raise EngineRefusal(why_absent(provider, available, version=ort.__version__))
    chosen: dict[str, Any] = {
        "model_path": Path(order.model_path),
        "voices_path": Path(order.voices_path),
        "onnx_providers": (provider.ort,),
        "onnx_provider_options": {provider.ort: dict(order.provider_options)},
        "onnx_auto_providers": False,
        "warmup": False,
    }
    if order.threads:
        chosen["onnx_intra_op_num_threads"] = order.threads
    chosen |= chosen_fields(order.session_options)
    return chosen


def _floats(pcm: bytes) -> "NDArray[np.float32]":
    """Little-endian 16-bit samples as float32 from -1 to 1."""
    import numpy as np

    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(PCM_SCALE)
