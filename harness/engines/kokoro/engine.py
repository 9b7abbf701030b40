"""kokoro-onnx, from 0.4.9 on, on an ONNX Runtime session of our own making.

The session is ours because `Kokoro(...)` sets no session options; it goes in through `Kokoro.from_session`, unchanged
but for stamps around `run` and `phonemize`.
"""

import asyncio
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineFacts
from harness.engines.builds import BUILDS, installed_versions, is_build
from harness.engines.kokoro.session import StampedSession, open_session, run_options
from harness.engines.languages import DEFAULT, spoken_language
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

SAMPLE_RATE = 24_000
TOKENS = ("input_ids", "tokens")
"""The names of the input for tokens, of which 0 is padding."""
BLEND = "+"
"""Joins the names of the voices of a blend."""
REPORTED_PACKAGES = (
    "espeakng-loader", "kokoro-onnx", "numpy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino",
    "onnxruntime-directml", "onnxruntime-qnn", "onnxruntime-rocm", "phonemizer", "phonemizer-fork",
)  # fmt: skip


class KokoroEngine:
    """One `Kokoro` object. `create` returns one chunk; `create_stream` runs on an event loop of this object."""

    def __init__(
        self,
        kokoro: Any,  # noqa: ANN401 - untyped library
        facts: EngineFacts,
        profiled: Any = None,  # noqa: ANN401 - untyped library
        fed: list[Mapping[str, Any]] | None = None,
    ) -> None:
        """`fed` receives the inputs of each run of the session."""
        self._kokoro = kokoro
        self._fed = [] if fed is None else fed
        self.facts = facts
        self._profiled = profiled
        self._loop = asyncio.new_event_loop()
        self._blends: dict[str, NDArray[np.float32]] = {}

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Chunks as kokoro-onnx yields them."""
        self._fed.clear()
        spoken = {
            "voice": self._voice(request.voice),
            "speed": request.speed,
            "lang": request.language or spoken_language(request.voice),
            "is_phonemes": request.is_phonemes,
        }
        if not request.stream:
            audio, _ = self._kokoro.create(request.text, **spoken)
            yield audio
            return
        chunks = self._kokoro.create_stream(request.text, **spoken)
        try:
            while True:
                try:
                    audio, _ = self._loop.run_until_complete(anext(chunks))
                except StopAsyncIteration:
                    return
                yield audio
        finally:
            self._loop.run_until_complete(chunks.aclose())

    def phonemes(self) -> str:
        """The phonemes of the tokens of all runs, without padding, a space between two runs."""
        vocabulary = getattr(self._kokoro.tokenizer, "vocab", {})
        spelt = {token: phoneme for phoneme, token in vocabulary.items() if token}
        runs = (next((feeds[name] for name in TOKENS if name in feeds), None) for feeds in self._fed)
        return " ".join("".join(spelt.get(int(each), "") for each in run.ravel()) for run in runs if run is not None)

    def _voice(self, name: str) -> Any:  # noqa: ANN401 - untyped library
        """The `voice` argument for kokoro-onnx: the name, or the style of a blend, for which it has no name."""
        if BLEND not in name:
            return name
        if name not in self._blends:
            self._blends[name] = blended([self._kokoro.get_voice_style(voice) for voice in name.split(BLEND)])
        return self._blends[name]

    def close(self) -> None:
        """Write the profile, close the event loop, and release the session."""
        if self._profiled is not None:
            self._profiled.end_profiling()
            self._profiled = None
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        close_voices(self._kokoro)
        self._kokoro = None


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> KokoroEngine:
    """Start kokoro-onnx in the parts that `load_time` is split into."""
    del clock
    with stages.stage("import"):
        kokoro_onnx = import_kokoro()
    with stages.stage("session"):
        session = open_session(order)
    with stages.stage("voices"):
        fed: list[Mapping[str, Any]] = []
        kokoro = open_voices(kokoro_onnx, order, StampedSession(session, stages, run_options(order), fed))
    with stages.stage("phonemiser"):
        # espeak-ng reads its data at the first call, and kokoro-onnx imports it only then.
        try:
            try_language(kokoro, order)
        except BaseException:
            close_voices(kokoro)
            raise
    kokoro.tokenizer.phonemize = stamped(kokoro.tokenizer.phonemize, stages)
    return KokoroEngine(kokoro, _facts(order, session), session if order.profile else None, fed)


def import_kokoro() -> Any:  # noqa: ANN401 - untyped library
    """The module kokoro_onnx; imports ONNX Runtime as well. EngineRefusal if one is missing."""
    try:
        import kokoro_onnx
        import onnxruntime  # noqa: F401 - its import is a part of the start-up
    except ImportError as error:
        raise EngineRefusal(f"not installed in this environment: {error.name or error}") from error
    return kokoro_onnx


def open_voices(kokoro_onnx: Any, order: EngineOrder, session: StampedSession) -> Any:  # noqa: ANN401
    """A `Kokoro` object for the session. EngineRefusal if the voices file is unusable or lacks the voice."""
    kokoro = None
    try:
        kokoro = kokoro_onnx.Kokoro.from_session(session, order.voices_path)
        names = sorted(kokoro.get_voices())
        for voice in order.voice.split(BLEND):
            if voice not in names:
                raise EngineRefusal(f"voice {voice!r} is not in the voices file; it has {', '.join(names)}")
            kokoro.get_voice_style(voice)
    except Exception as error:
        close_voices(kokoro)
        if isinstance(error, EngineRefusal):
            raise
        raise EngineRefusal(f"kokoro-onnx cannot use the voices file: {error}") from error
    return kokoro


def try_language(kokoro: Any, order: EngineOrder) -> None:  # noqa: ANN401 - untyped library
    """Phonemise a word in the chosen language. EngineRefusal if espeak-ng does not have it."""
    try:
        kokoro.tokenizer.phonemize("Hello.", order.language or DEFAULT)
    except RuntimeError as error:
        raise EngineRefusal(f"the language {order.language!r} cannot be spoken: {error}") from error


def blended(styles: "Sequence[NDArray[np.float32]]") -> "NDArray[np.float32]":
    """The mean of the styles of a blend's voices, [rows, 1, 256], as in Kokoro-FastAPI; a single style unchanged."""
    import numpy as np

    rows = min(map(len, styles))
    return styles[0] if len(styles) == 1 else np.mean([style[:rows] for style in styles], axis=0, dtype=np.float32)


def close_voices(kokoro: Any) -> None:  # noqa: ANN401 - untyped library
    """Close the voices file, which kokoro-onnx keeps open."""
    close = getattr(getattr(kokoro, "voices", None), "close", None)
    if close is not None:
        close()


def stamped(phonemize: Any, stages: Stages) -> Any:  # noqa: ANN401 - untyped library
    """`phonemize`, each call of which is a stage "phonemise"."""

    def stamping(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - untyped library
        with stages.stage("phonemise"):
            return phonemize(*args, **kwargs)

    return stamping


def _facts(order: EngineOrder, session: Any) -> EngineFacts:  # noqa: ANN401 - untyped library
    return EngineFacts(
        providers=tuple(session.get_providers()),
        packages=reported_packages(),
        options=tuple(sorted(order.session_options.items())),
        sample_rate=SAMPLE_RATE,
        python=platform.python_version(),
    )


def reported_packages() -> tuple[tuple[str, str], ...]:
    """Name and version of the installed packages that run in a synthesis.

    This is part of the timed start of an engine, so it looks for rare builds of ONNX Runtime only if no common one is
    installed.
    """
    found = installed_versions(REPORTED_PACKAGES)
    if any(is_build(name) for name, _ in found):
        return found
    return (*found, *installed_versions(name for name in BUILDS if name not in REPORTED_PACKAGES))
