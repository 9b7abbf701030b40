"""Speech with planted faults, for the calibration of the verdict on speech.

The texts are pairs of short sentences of the project's corpus. Each text is spoken by two voices, so each serves as the
other's wrong voice. What changes the synthesis is synthesised; what changes the samples is made from them.
"""

import random
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from benchmarks.orders import one_thread_kokoro
from harness.analysis.speech_facts import judge_phonemes
from harness.core.records.speech import SpeechKind
from harness.models.weights import compare_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

RATE = 24_000
TEXTS = 200
AUDIOS = 2 * TEXTS
"""Two voices speak each text. The limits of the verdict were chosen with audios below 200 in view, and no others."""
SEED = 18
SENTENCE = (8, 22)
SHORTEST, LONGEST = 24, 36
"""Characters of a text. Short texts keep the calibration below two hours of one core."""
VOICES = (
    ("af_heart", "af_bella"), ("af_heart", "am_michael"), ("af_sarah", "am_puck"), ("am_adam", "am_fenrir"),
    ("af_heart", "af_nicole"), ("am_michael", "bm_george"), ("af_bella", "bf_emma"),
)  # fmt: skip
"""The two voices of each text, in turn: four pairs of the same sex and three of both."""
ORIGINAL = "original"
ZEROED = "tensor zeroed"
EVERY_TENTH = 10
SMALLEST_TENSOR = 256
_LETTER = re.compile(r"[^\s.,!?;:—…\"ˈˌː]")


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Pairs of sentences."""
    lines = (files("harness.plan") / "sentences.txt").read_text(encoding="utf-8").splitlines()
    short = [line for line in lines if SENTENCE[0] <= len(line) <= SENTENCE[1] and not line.startswith("#")]
    chosen = random.Random(SEED)  # noqa: S311 - a sample, not a secret
    found: list[tuple[str, str]] = []
    while len(found) < TEXTS:
        pair = tuple(chosen.sample(short, 2))
        if SHORTEST <= len(" ".join(pair)) <= LONGEST and pair not in found:
            found.append((pair[0], pair[1]))
    return tuple(found)


def text_of(number: int) -> str:
    """What audio `number` says."""
    return " ".join(texts()[number // 2])


def voice_of(number: int) -> str:
    """The voice of audio `number`."""
    return VOICES[(number // 2) % len(VOICES)][number % 2]


class Synthesis:
    """Audio by model, made once. `models` names the file of each: `original` and, if it is there, `dequantised`."""

    def __init__(self, models: Mapping[str, Path], voices: Path, scratch: Path) -> None:
        self.models = models
        self._voices = voices
        self._scratch = scratch
        self._loaded: dict[str, Any] = {}

    def say(self, kind: str, number: int) -> "Audio":
        """The audio of a kind that `SYNTHESISED` names."""
        return SYNTHESISED[kind](self, number)

    def engine(self, model: str = ORIGINAL) -> Any:  # noqa: ANN401 - kokoro-onnx has no useful types
        """The loaded model."""
        if model not in self._loaded:
            self._loaded[model] = self.load(self.models[model])
        return self._loaded[model]

    def load(self, model: Path) -> Any:  # noqa: ANN401 - kokoro-onnx has no useful types
        """A model with one thread."""
        return one_thread_kokoro(model, self._voices)

    def phonemes(self, number: int, language: str = "en-us") -> str:
        found: str = self.engine().tokenizer.phonemize(text_of(number), language)
        return found

    def speak(
        self, number: int, phonemes: str | None = None, *, speed: float = 1.0, engine: object | None = None
    ) -> "Audio":
        """Audio of a text's phonemes by its voice."""
        import numpy as np

        spoken = phonemes or self.phonemes(number)
        made: Any = engine or self.engine()
        audio, rate = made.create(spoken, voice_of(number), speed=speed, is_phonemes=True)
        assert rate == RATE  # noqa: S101 - of every Kokoro
        return np.asarray(audio, dtype=np.float32)

    def zeroed(self, number: int) -> Path:
        """The file of the model with the values of one weight tensor, drawn at random, replaced by zero."""
        path = self._scratch / "zeroed.onnx"
        _zero_one(self.models[ORIGINAL], path, seed=number)
        return path

    def fact(self, kind: str, number: int) -> dict[str, str]:
        """What a run knows against an audio of a kind without listening: `fact` is what it calls it, or ""."""
        if kind in PHONEMES:
            answer = judge_phonemes(PHONEMES[kind](self, number), self.phonemes(number))
            return {"fact": answer.kind if answer else "", "reason": answer.reason if answer else ""}
        found = compare_weights(self.zeroed(number), self.models[ORIGINAL])
        kind_found = SpeechKind.BROKEN if found.lost else SpeechKind.DIFFERENT
        return {"fact": kind_found if found.text else "", "reason": found.text}


SYNTHESISED: Mapping[str, Callable[[Synthesis, int], "Audio"]] = MappingProxyType(
    {
        ORIGINAL: lambda by, number: by.speak(number),
        "reloaded": lambda by, number: by.speak(number, engine=by.load(by.models[ORIGINAL])),
        "dequantised": lambda by, number: by.speak(number, engine=by.engine("dequantised")),
        "1 % faster": lambda by, number: by.speak(number, speed=1.01),
        "phonemes dropped": lambda by, number: by.speak(number, PHONEMES["phonemes dropped"](by, number)),
        "half speed": lambda by, number: by.speak(number, speed=0.5),
        "British phonemes": lambda by, number: by.speak(number, PHONEMES["British phonemes"](by, number)),
        ZEROED: lambda by, number: by.speak(number, engine=by.load(by.zeroed(number))),
    }
)
"""Kind → how audio `number` is synthesised."""
PHONEMES: Mapping[str, Callable[[Synthesis, int], str]] = MappingProxyType(
    {
        "phonemes dropped": lambda by, number: drop(by.phonemes(number)),
        "British phonemes": lambda by, number: by.phonemes(number, "en-gb"),
    }
)
"""Kind → the phonemes that its model gets, where they are not the original's."""


def drop(phonemes: str) -> str:
    """Every tenth phoneme left out, the fifth first. Stress and length marks and punctuation do not count."""
    kept, count = [], 0
    for each in phonemes:
        count += bool(_LETTER.match(each))
        if not (_LETTER.match(each) and count % EVERY_TENTH == EVERY_TENTH // 2):
            kept.append(each)
    return "".join(kept)


def cut(audio: "Audio", number: int) -> "Audio":
    """The first half."""
    del number
    return audio[: len(audio) // 2]


def swap(audio: "Audio", number: int) -> "Audio":
    """The two sentences in the other order, divided at the longest pause that is not near an end."""
    import numpy as np

    del number
    frame = RATE // 100
    frames = audio[: len(audio) // frame * frame].reshape(-1, frame)
    quiet = np.sqrt(np.square(frames).mean(axis=1)) < 10 ** (-45 / 20)
    longest, middle, begin = 0, len(frames) // 2, None
    for index in range(int(0.12 * len(frames)), int(0.88 * len(frames))):
        begin = (index if begin is None else begin) if quiet[index] else None
        if begin is not None and index - begin + 1 > longest:
            longest, middle = index - begin + 1, (begin + index) // 2
    return np.concatenate([audio[middle * frame :], audio[: middle * frame]])


def overflow(audio: "Audio", number: int) -> "Audio":
    """Scaled to 16 bits 1.6 times too loud: what exceeds full scale continues at the other end."""
    import numpy as np

    del number
    scaled = np.round(audio * (1.6 * 32_767 / np.abs(audio).max())).astype(np.int64)
    return np.asarray((((scaled + 32_768) % 65_536) - 32_768) / 32_767, dtype=np.float32)


def dither(audio: "Audio", number: int) -> "Audio":
    """White noise of two steps of 16 bits."""
    import numpy as np

    noise = np.random.default_rng(number).uniform(-1, 1, len(audio)) / 32_768
    return np.asarray(audio + noise, dtype=np.float32)


def sixteen_bits(audio: "Audio", number: int) -> "Audio":
    """As a FLAC file holds it."""
    import numpy as np

    del number
    return np.asarray(np.round(audio.clip(-1, 1) * 32_767) / 32_767, dtype=np.float32)


DERIVED: Mapping[str, Callable[["Audio", int], "Audio"]] = MappingProxyType(
    {"second half cut": cut, "sentences swapped": swap, "overflow": overflow, "dither": dither, "16 bits": sixteen_bits}
)
"""Kind → how the samples of the original are changed."""


def _zero_one(model: Path, target: Path, *, seed: int) -> None:
    import numpy as np
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(model))
    tensors = {each.name: each for each in graph.graph.initializer}
    large = sorted(
        name
        for name, each in tensors.items()
        if np.prod(each.dims) > SMALLEST_TENSOR and numpy_helper.to_array(each).any()
    )
    chosen = tensors[random.Random(f"z{seed}").choice(large)]  # noqa: S311 - a sample, not a secret
    zero = tensors.get(chosen.name.replace("_quantized", "_zero_point")) if "_quantized" in chosen.name else None
    values = numpy_helper.to_array(chosen)
    nothing = np.zeros_like(values)
    if zero is not None and np.prod(zero.dims) <= 1:
        nothing += numpy_helper.to_array(zero).astype(values.dtype).reshape(())
    chosen.CopyFrom(numpy_helper.from_array(nothing, chosen.name))
    onnx.save(graph, str(target))
