"""Checks that a model synthesises speech at all, before anything is measured with it."""

# ruff: noqa: RUF001 - phonemes are meant as they stand

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.saved_graphs import REMEDY, why_unfit
from harness.models.voices import read_voices

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

PHRASES = (
    "həlˈoʊ.",
    "ðə kwˈɪk bɹˈaʊn fˈɑːks dʒˈʌmps ˌoʊvɚ ðə lˈeɪzi dˈɑːɡ, ænd ɹˈʌnz ɐwˈeɪ.",
)
"""A word and a sentence as phonemes: the check needs no phonemiser."""
SAMPLE_RATE = 24_000
QUIETEST_DBFS = -60.0
LOUDEST = 8.0
"""Audio with a larger peak amplitude is noise of a broken graph. A working model stays near 1."""
SHORTEST_S_PER_TOKEN = 0.01
LONGEST_S_PER_TOKEN = 1.25
"""Seconds of audio per token. Kokoro gives each token 1 to 50 frames of 25 ms; below 0.01 s the durations are wrong."""


def speak(model: Path, voices: Path) -> dict[str, float | str]:
    """Synthesise each of `PHRASES`. Return facts of the last: seconds of audio, level in dBFS and peak.

    Raises ValueError with the reason if audio is not finite, silent, too loud, or of an implausible length, or if the
    model is a graph that was saved for another version or machine. Errors of ONNX Runtime pass if the model does not
    load or run.
    """
    import numpy as np
    import onnxruntime
    from kokoro_onnx.config import DEFAULT_VOCAB
    from kokoro_onnx.session import embedded_vocab, input_dtypes

    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    if unfit := why_unfit(session.get_modelmeta().custom_metadata_map, version=onnxruntime.__version__):
        raise ValueError(f"{unfit}; {REMEDY}")
    vocabulary, dtypes = embedded_vocab(session) or DEFAULT_VOCAB, input_dtypes(session)
    names = read_voices(voices)
    facts: dict[str, float | str] = {}
    with np.load(voices) as styles:
        for phrase, voice in zip(PHRASES, (names[0], names[-1]), strict=True):
            tokens = [vocabulary[phoneme] for phoneme in phrase if phoneme in vocabulary]
            feed = token_feed(tokens, styles[voice], dtypes=dtypes)
            facts = check_audio(session.run(None, feed)[0], tokens=len(tokens) + 2)
    return facts


def token_feed(
    tokens: list[int], voice: "NDArray[np.float32]", *, dtypes: "Mapping[str, np.dtype[Any]]", speed: float = 1.0
) -> "dict[str, NDArray[Any]]":
    """The inputs of a synthesis as kokoro-onnx makes them: padded tokens [1, n + 2], a style [1, 256], the speed [1].

    `voice` is [rows, 1, 256]; `dtypes`: name of the graph's input → its type.
    """
    import numpy as np

    if dtypes["speed"].kind in "iu":  # an old export, for which kokoro-onnx rounds
        speed = max(1, round(speed))
    name = "input_ids" if "input_ids" in dtypes else "tokens"
    return {
        name: np.array([[0, *tokens, 0]], dtype=dtypes[name]),
        "style": np.asarray(voice[min(len(tokens), len(voice)) - 1], dtype=dtypes["style"]),
        "speed": np.array([speed], dtype=dtypes["speed"]),
    }


def check_audio(audio: "NDArray[Any]", *, tokens: int) -> dict[str, float | str]:
    """Seconds, level (dBFS) and peak of mono audio. Raises ValueError if it cannot be speech."""
    import numpy as np

    audio = audio.astype(np.float64).ravel()
    seconds = audio.size / SAMPLE_RATE
    if not SHORTEST_S_PER_TOKEN * tokens <= seconds <= LONGEST_S_PER_TOKEN * tokens:
        raise ValueError(f"{seconds:.2f} s of audio for {tokens} tokens")
    if not np.isfinite(audio).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(audio)):,} of {audio.size:,} samples are not finite")
    peak = float(np.abs(audio).max())
    level = 10 * float(np.log10(max(np.square(audio).mean(), 1e-20)))
    if level < QUIETEST_DBFS:
        raise ValueError(f"silence: {level:.1f} dBFS")
    if peak > LOUDEST:
        raise ValueError(f"a peak of {peak:.3g}, far beyond full scale")
    return {"audio_s": seconds, "dbfs": level, "peak": peak}
