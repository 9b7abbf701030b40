"""Whether two graphs compute the same audio from real inputs. Runs in a child process."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.models.inspect import nodes_of
from harness.models.smoke_test import PHRASES, token_feed
from harness.models.voices import read_voices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RANDOM = ("RandomNormalLike", "RandomUniformLike", "RandomNormal", "RandomUniform", "Multinomial", "Bernoulli")
"""Operators that draw random numbers, from a seed that depends on their place in the graph unless they have one."""


def seeded(source: Path, target: Path) -> Path | None:
    """`target`: the model with a seed in each node that draws random numbers; None if it has no such node."""
    import onnx

    model = onnx.load(source)
    drawing = [node for node in nodes_of(model.graph) if node.op_type in RANDOM]
    for number, node in enumerate(drawing):
        kept = [attribute for attribute in node.attribute if attribute.name != "seed"]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("seed", float(number + 1))])
    if not drawing:
        return None
    onnx.save(model, target)
    return target


def largest_difference(source: Path, result: Path, voices: Path, *, bound: float) -> float:
    """The largest difference of a sample between the two models' audio, where full scale is 1.

    Each speaks a word in the first and the last voice, and a sentence in the first. Raises ValueError if they have
    other lengths, if something is not finite, or if the difference is above `bound`.
    """
    import numpy as np

    difference = 0.0
    for theirs, ours in zip(_spoken(source, voices), _spoken(result, voices), strict=True):
        if theirs.shape != ours.shape:
            raise ValueError(f"it gives {ours.size:,} samples, and the model that it was made from {theirs.size:,}")
        if not (np.isfinite(theirs).all() and np.isfinite(ours).all()):
            raise ValueError("its samples are not finite")
        difference = max(difference, float(np.abs(ours - theirs).max(initial=0.0)))
    if difference > bound:
        raise ValueError(
            f"its audio differs by {difference:.2g} of full scale from that of the model that it was made from; "
            f"up to {bound:g} is accepted"
        )
    return difference


def _spoken(model: Path, voices: Path) -> "list[NDArray[np.float64]]":
    """The audio of a word in two voices and of a sentence in one, by one session."""
    import numpy as np
    from kokoro_onnx.config import DEFAULT_VOCAB
    from kokoro_onnx.session import embedded_vocab, input_dtypes

    session: Any = open_quietly(model)
    vocabulary, dtypes = embedded_vocab(session) or DEFAULT_VOCAB, input_dtypes(session)
    names = read_voices(voices)
    found = []
    with np.load(voices) as styles:
        for phrase, voice in ((PHRASES[0], names[0]), (PHRASES[0], names[-1]), (PHRASES[1], names[0])):
            tokens = [vocabulary[phoneme] for phoneme in phrase if phoneme in vocabulary]
            feed = token_feed(tokens, styles[voice], dtypes=dtypes)
            found.append(np.asarray(session.run(None, feed)[0], dtype=np.float64).ravel())
    return found


def open_quietly(path: Path) -> Any:  # noqa: ANN401 - untyped library
    """A session of a model on the CPU that prints no warnings."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
