"""Makes a graph by a recipe, and checks from real inputs that it computes what its source does, in a child process."""

import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.core.saved_graphs import STAMP, cpu_features, stamp
from harness.models.inspect import nodes_of, nodes_text
from harness.models.jobs import Optimise
from harness.models.optimise.recipes import BY_NAME, GraphRecipe, Step
from harness.models.smoke_test import PHRASES, token_feed
from harness.models.voices import read_voices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LOADS = 3
"""Sessions of each file whose times are compared, in turns."""


def optimise_file(job: Optimise, *, voices: Path) -> dict[str, float | str]:
    """Make `job.target`. The facts: seconds, nodes, load times and the largest difference from the source.

    Errors of the tools pass. Raises ValueError if the result does not compute what the source does.
    """
    started = time.monotonic()
    recipe, source, target = BY_NAME[job.recipe], Path(job.source), Path(job.target)
    _make(source, target, recipe)
    # A graph that draws random numbers can only be compared where both draw the same: with seeds in the file.
    twin = seeded(source, target.with_name("seeded.onnx"))
    ours = target
    if twin is not None:
        ours = target.with_name(f"seeded-result{target.suffix}")
        _make(twin, ours, recipe)
    difference = largest_difference(twin or source, ours, voices, bound=recipe.bound)
    loads = _load_times(source, target)
    facts = {
        "nodes": nodes_text(source, target),
        "largest difference": f"{difference:.1e} of full scale{', with the noise seeded' if twin else ''}",
        "session": f"{loads[0]:.2f} s before, {loads[1]:.2f} s after (median of {LOADS}, in turns)",
    }
    if recipe.tied:
        facts |= {"provider": "cpu", "CPU": cpu_features()}
    return {**facts, "took_s": time.monotonic() - started}


def _make(source: Path, target: Path, recipe: GraphRecipe) -> None:
    if recipe.step is Step.SLIM:
        _slim(source, target)
    elif recipe.step is Step.NORMS:
        _norms(source, target)
    else:
        _by_onnxruntime(source, target, recipe)


def _by_onnxruntime(source: Path, target: Path, recipe: GraphRecipe) -> None:
    """Let ONNX Runtime optimise the graph and save it, by a session that is dropped."""
    import onnx
    import onnxruntime as ort

    given = source
    if recipe.tied:
        model = onnx.load(source)
        saved_by = stamp(version=ort.__version__, provider="cpu", features=cpu_features())
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        onnx.helper.set_model_props(model, {**metadata, STAMP: saved_by})
        given = target.with_name("stamped.onnx")
        onnx.save(model, given)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    full = recipe.step is Step.SAVE
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if full else levels.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    if recipe.ort:
        options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(str(given), options, providers=["CPUExecutionProvider"])


def _norms(source: Path, target: Path) -> None:
    import onnx
    import onnx_ir as ir

    from harness.models.optimise.norms import join_norms

    folded = target.with_name("folded.onnx")
    _by_onnxruntime(source, folded, BY_NAME["folded"])
    model = ir.serde.deserialize_model(onnx.load(folded))
    if not join_norms(model):
        raise ValueError("it has no instance norm with a scale and a shift of its own after it")
    onnx.save(ir.serde.serialize_model(model), target)


def _slim(source: Path, target: Path) -> None:
    import onnx
    import onnxslim

    onnx.save(onnxslim.slim(onnx.load(source)), target)


def _load_times(source: Path, target: Path) -> tuple[float, float]:
    """Median seconds of a session of each file, in turns; the files are in the page cache."""
    found: dict[Path, list[float]] = {source: [], target: []}
    for _ in range(LOADS):
        for path, seconds in found.items():
            started = time.monotonic()
            open_quietly(path)
            seconds.append(time.monotonic() - started)
    return median(found[source]), median(found[target])


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
