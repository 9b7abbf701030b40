"""sherpa-onnx as an engine: a runtime in C++ with an ONNX Runtime of its own, on the same model and voices.

From version 2 on it takes phonemes and brings no phonemiser for Kokoro, so it gets those of kokoro-onnx. It synthesises
sentence by sentence and shortens pauses.
"""

import platform
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineFacts
from harness.engines.builds import installed_versions
from harness.engines.kokoro.engine import SAMPLE_RATE, import_kokoro
from harness.engines.languages import DEFAULT, spoken_language
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.sherpa.files import SherpaFiles, prepare
from harness.engines.sherpa.options import SILENCE_SCALE, check_options
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

PACKAGES = (
    "sherpa-onnx", "sherpa-onnx-core", "kokoro-onnx", "espeakng-loader", "phonemizer", "phonemizer-fork", "numpy",
)  # fmt: skip
"""ONNX Runtime's own package is none of them: sherpa-onnx-core has a library of its own."""
LONGEST = 500
"""The most phonemes of a part: Kokoro takes 510."""
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")


@dataclass(kw_only=True)
class SherpaEngine:
    """One `OfflineTts` object. `module` is sherpa_onnx, `tokenizer` is kokoro-onnx's, `voices` are numbered from 0."""

    tts: Any
    module: Any
    tokenizer: Any
    voices: Sequence[str]
    options: Mapping[str, str]
    facts: EngineFacts
    stages: Stages

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """One chunk for each sentence of a stream; a whole text is one chunk."""
        if request.voice not in self.voices:
            raise SpeechFailure(f"sherpa-onnx has no voice {request.voice!r} here", fault="voice")
        phonemes = request.text
        if not request.is_phonemes:
            with self.stages.stage("phonemise"):
                language = request.language or spoken_language(request.voice)
                phonemes = self.tokenizer.phonemize(request.text, language)
        parts = sentences(phonemes)
        for some in ([part] for part in parts) if request.stream else (parts,):
            yield self._spoken(some, request)

    def _spoken(self, parts: Sequence[str], request: SpeechRequest) -> "NDArray[np.float32]":
        import numpy as np

        given = self.module.GenerationConfig()
        given.sid = self.voices.index(request.voice)
        given.speed = request.speed
        given.phoneme_codepoints = [[ord(symbol) for symbol in part] for part in parts]
        if SILENCE_SCALE in self.options:
            given.silence_scale = float(self.options[SILENCE_SCALE])
        with self.stages.stage("inference"):
            found = self.tts.generate("", given)
        return np.asarray(found.samples, dtype=np.float32)

    def close(self) -> None:
        self.tts = None


def sentences(phonemes: str) -> list[str]:
    """The sentences, as sherpa-onnx takes them one by one; a longer one than `LONGEST` is cut between words."""
    parts = _SENTENCE_END.split(phonemes.strip())
    return [line for part in parts for line in textwrap.wrap(part, LONGEST, break_on_hyphens=False)]


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> SherpaEngine:
    """Start sherpa-onnx. The stage "voices" includes making its files, where they are not in the cache."""
    del clock
    _check(order)
    with stages.stage("import"):
        import_kokoro()
        try:
            import sherpa_onnx
        except ImportError as error:
            raise EngineRefusal(
                f"not installed in this environment: {error.name or error}; an arm brings it: "
                "'sherpa-onnx==2.0.1,engine=sherpa-onnx'"
            ) from error
        if not hasattr(sherpa_onnx, "GenerationConfig"):
            raise EngineRefusal(f"sherpa-onnx {sherpa_onnx.__version__} takes no phonemes; version 2 does")
        from kokoro_onnx.tokenizer import Tokenizer
    with stages.stage("voices"):
        tokenizer = Tokenizer()
        files = prepare(Path(order.model_path), Path(order.voices_path), tokenizer.vocab)
        if order.voice not in files.names:
            raise EngineRefusal(f"voice {order.voice!r} is not in the voices file; it has {', '.join(files.names)}")
    with stages.stage("session"):
        tts = sherpa_onnx.OfflineTts(_configuration(sherpa_onnx, order, files))
    with stages.stage("phonemiser"):
        tokenizer.phonemize("Hello.", order.language or DEFAULT)
    facts = EngineFacts(
        providers=("CPUExecutionProvider",),
        packages=installed_versions(PACKAGES),
        options=tuple(sorted(order.session_options.items())),
        sample_rate=SAMPLE_RATE,
        python=platform.python_version(),
    )
    return SherpaEngine(
        tts=tts,
        module=sherpa_onnx,
        tokenizer=tokenizer,
        voices=files.names,
        options=order.session_options,
        facts=facts,
        stages=stages,
    )


def _check(order: EngineOrder) -> None:
    """EngineRefusal for what sherpa-onnx would ignore: another provider than the CPU, options that it does not have."""
    if order.profile:
        raise EngineRefusal("sherpa-onnx writes no profile of ONNX Runtime")
    if order.provider != "cpu" or order.provider_options:
        raise EngineRefusal(f"sherpa-onnx runs on the CPU here, not on {order.provider!r}, and has no provider options")
    check_options(order.session_options)


def _configuration(module: Any, order: EngineOrder, files: SherpaFiles) -> Any:  # noqa: ANN401 - untyped library
    kokoro = module.OfflineTtsKokoroModelConfig(
        model=str(files.model), voices=str(files.voices), tokens=str(files.tokens)
    )
    chosen = {"num_threads": order.threads} if order.threads else {}
    return module.OfflineTtsConfig(model=module.OfflineTtsModelConfig(kokoro=kokoro, provider=order.provider, **chosen))
