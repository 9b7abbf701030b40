import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from harness.core.errors import ModelError
from harness.models.cache import Cache, tool_versions
from harness.models.catalogue import Catalogue
from harness.models.files import ModelFiles, sha256_of
from harness.models.inspect import read_graph
from harness.models.jobs import Answer, Job, Quantise, Speak, run_child
from harness.models.quantise import cache_key, quantise
from harness.models.quantise.calibration_inputs import LEAST_FEEDS, feeds_digest, make_feeds
from harness.models.quantise.node_classes import ATTENTION, LAST_STAGE, named_nodes
from harness.models.quantise.recipes import BY_NAME, RECIPES, Method
from harness.models.quantise.tools import (
    PHASES,
    converted,
    drop_repeated_nodes,
    last_convolution,
    phase_nodes,
    read_feeds,
    write_feeds,
)
from harness.models.weights import compare_weights
from tests.conftest import Command
from tests.models.conftest import ToneReplicas
from tests.processes import await_ended

ROOT = Path(__file__).parents[2]
SENTENCES = tuple(
    f"The {what} stood at the end of a road."
    for what in ("house", "tower", "statue", "garden", "bridge", "lantern", "horse", "bakery", "piano")
)
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A catalogue with the true small replica, shared: quantising takes seconds."""
    catalogue = Catalogue(cache=Cache(tmp_path_factory.mktemp("cache")), calibration_texts=lambda: SENTENCES)
    catalogue.resolve("replica-small")
    return catalogue


def operators(files: ModelFiles) -> dict[str, int]:
    return read_graph(files.model_path).operators


@pytest.mark.usefixtures("true_child")
def test_a_dynamic_variant_knows_its_parent_and_is_made_once(small: Catalogue) -> None:
    parent = small.resolve("replica-small")
    said: list[str] = []
    files = small.resolve("replica-small-u8", report=said.append)
    variant = files.variant
    assert (variant.origin, variant.recipe, variant.parent) == ("quantised", "dynamic-u8", parent.variant.sha256)
    assert files.voices_path == parent.voices_path
    assert variant.size < 0.6 * parent.variant.size
    assert len(said) == 2
    assert small.resolve("replica-small-u8", report=pytest.fail) == files
    assert small.quantise("replica-small", "dynamic-u8", report=pytest.fail) == files
    assert small.show("replica-small-u8").parent_name == "replica-small"
    assert small.show("replica-small-u8").made_with == tool_versions()
    assert {"ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM"} <= set(operators(files))


def test_the_pre_processing_finds_the_shared_weights(small: Catalogue) -> None:
    """ALBERT's weights are shared through Identity nodes, behind which the quantisers do not look."""
    as_is, prepared = small.resolve("replica-small-u8-as-is"), small.resolve("replica-small-u8")
    assert operators(prepared)["MatMulInteger"] == operators(as_is)["MatMulInteger"] + 66
    assert prepared.variant.size < as_is.variant.size
    # 10 MatMuls of its own, and the 66 that use ALBERT's weights again.
    assert operators(small.resolve("replica-small-int4"))["MatMulNBits"] == 76


def test_half_precision_keeps_its_face(small: Catalogue) -> None:
    parent, files = small.resolve("replica-small"), small.resolve("replica-small-fp16")
    ours, theirs = read_graph(parent.model_path), read_graph(files.model_path)
    assert (ours.inputs, [one.dtype for one in ours.outputs]) == (theirs.inputs, [one.dtype for one in theirs.outputs])
    assert files.variant.size < 0.75 * parent.variant.size


def test_half_precision_keeps_the_phases_of_long_audio_in_32_bits(small: Catalogue) -> None:
    parent, half = (onnx.load(small.resolve(name).model_path) for name in ("replica-small", "replica-small-fp16"))
    names = phase_nodes(parent)
    kinds = {node.name: node.op_type for node in parent.graph.node if node.name in names}
    assert {"CumSum", "Sin"} <= set(kinds.values())
    makers = {name: node for node in half.graph.node for name in node.output}
    for node in half.graph.node:
        if node.name in names and node.op_type not in PHASES:
            assert makers[node.input[0]].name in names, f"{node.name}: its phase passes through 16 bits"


def test_chosen_operators_are_the_only_ones_converted(small: Catalogue) -> None:
    assert "ConvInteger" not in operators(small.resolve("replica-small-u8-matmul"))
    without = operators(small.resolve("replica-small-s8-nolstm"))
    assert without["LSTM"] == 6
    assert "DynamicQuantizeLSTM" not in without


def test_classes_of_nodes_stay_in_floats(small: Catalogue) -> None:
    path = small.resolve("replica-small").model_path
    nodes = {node.name: node for node in onnx.load(path).graph.node}
    last, attention = (named_nodes(path, [name]) for name in (LAST_STAGE, ATTENTION))
    # Three residual blocks of six convolutions at the highest rate, and the one that writes the spectrum.
    assert len(last) == 19
    assert {nodes[name].op_type for name in last} == {"Conv"}
    assert last_convolution(path)[0] in last
    # Twelve layers: four products of attention with weights, two of the scores, two of the feed-forward.
    assert Counter(nodes[name].op_type for name in attention)["MatMul"] >= 12 * 6
    assert not any("/decoder/" in name or "/generator/" in name for name in attention)


def test_a_mixed_recipe_leaves_its_classes_in_floats(small: Catalogue) -> None:
    found = operators(small.resolve("replica-small-u8-nolstm-nolast"))
    assert found["LSTM"] == 6
    assert found["Conv"] == 19
    whole = operators(small.resolve("replica-small-u8"))
    assert found["ConvInteger"] == whole["ConvInteger"] - 18


KEPT = ("u8", "u8-as-is", "u8-matmul", "s8-nolstm", "s8-per-channel", "u8-nolstm-nolast", "fp16", "int4", "s7")


@pytest.mark.parametrize("suffix", KEPT)
def test_no_recipe_is_taken_for_damage(small: Catalogue, suffix: str) -> None:
    parent, files = small.resolve("replica-small"), small.resolve(f"replica-small-{suffix}")
    found = compare_weights(files.model_path, parent.model_path)
    assert found.text == ""
    assert found.compared > 100


def test_signed_weights_are_signed(small: Catalogue) -> None:
    kinds = {}
    for name in ("u8", "s8-nolstm"):
        model = onnx.load(small.resolve(f"replica-small-{name}").model_path)
        consumers = {value: node.op_type for node in model.graph.node for value in node.input}
        kinds[name] = {
            tensor.data_type
            for tensor in model.graph.initializer
            if consumers.get(tensor.name) == "ConvInteger" and len(tensor.dims) == 3
        }
    assert kinds == {"u8": {onnx.TensorProto.UINT8}, "s8-nolstm": {onnx.TensorProto.INT8}}


def test_the_convolution_that_writes_the_spectrum_stays_in_floats(small: Catalogue) -> None:
    for name in ("replica-small-u8", "replica-small-u8-as-is", "replica-small-s8-nolstm"):
        convolutions = [
            node.name for node in onnx.load(small.resolve(name).model_path).graph.node if node.op_type == "Conv"
        ]
        assert len(convolutions) == 1, convolutions
    assert last_convolution(small.resolve("replica-small").model_path) == convolutions


def test_a_static_variant_is_calibrated_on_texts(cache: Cache, replicas: ToneReplicas) -> None:
    catalogue = Catalogue(cache=cache, replicas=replicas, calibration_texts=lambda: SENTENCES)
    files = catalogue.resolve("replica-qdq")
    assert {"QuantizeLinear", "DequantizeLinear"} <= set(operators(files))
    graph = onnx.load(files.model_path).graph
    makers = {name: node for node in graph.node for name in node.output}
    given = {one.name: one for one in graph.initializer}
    (dense,) = (node for node in graph.node if node.op_type == "MatMul")
    activation, weight = (makers[name] for name in dense.input)
    assert [activation.op_type, weight.op_type] == ["DequantizeLinear"] * 2
    # Activations of one scale, weights with a scale for each channel; none is signed.
    types = [given[node.input[2]].data_type for node in (activation, weight)]
    assert types == [onnx.TensorProto.UINT8, onnx.TensorProto.UINT8]
    assert [list(given[node.input[1]].dims) for node in (activation, weight)] == [[], [32]]
    assert catalogue.resolve("replica-qdq", report=pytest.fail) == files


@pytest.mark.usefixtures("true_child")
def test_an_equalised_variant_has_convolutions_of_signed_weights(small: Catalogue) -> None:
    files = small.resolve("replica-small-s7")
    graph = onnx.load(files.model_path).graph
    constants = {each.name: each for each in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds["MatMulInteger"]
    (last,) = last_convolution(small.resolve("replica-small").model_path)
    for node in (each for each in graph.node if each.op_type == "Conv"):
        weights = makers.get(node.input[1])
        if node.name == last:
            assert weights is None
        else:
            assert weights is not None
            assert constants[weights.input[0]].data_type == TensorProto.INT8
    assert small.resolve("replica-small-s7", report=pytest.fail) == files


@pytest.mark.exhaustive  # 1.4 million turns of a loop of the tool's
def test_the_true_replica_can_be_calibrated(small: Catalogue) -> None:
    files = small.resolve("replica-small-qdq")
    assert {"QuantizeLinear", "DequantizeLinear"} <= set(operators(files))
    assert small.resolve("replica-small-qdq", report=pytest.fail) == files
    assert compare_weights(files.model_path, small.resolve("replica-small").model_path).text == ""


def test_other_calibration_makes_another_variant(small: Catalogue) -> None:
    parent = small.resolve("replica-small")
    graph = small.examiner.graph(parent.model_path, parent.variant.sha256)
    first = make_feeds(parent.voices_path, graph, SENTENCES)
    other = make_feeds(parent.voices_path, graph, SENTENCES[::-1])
    recipe = BY_NAME["static-qdq"]
    assert cache_key("x", parent, recipe, first) != cache_key("x", parent, recipe, other)
    assert cache_key("x", parent, BY_NAME["fp16"], first) == cache_key("x", parent, BY_NAME["fp16"], other)


def test_a_variant_depends_on_parent_recipe_and_tools(small: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = small.resolve("replica-small")
    keys = {cache_key("x", parent, recipe) for recipe in RECIPES}
    assert len(keys) == len(RECIPES)
    monkeypatch.setattr("harness.models.quantise.tool_versions", lambda: {"onnx": "1.0", "onnxruntime": "1.0"})
    assert keys.isdisjoint(cache_key("x", parent, recipe) for recipe in RECIPES)


def test_calibration_is_what_kokoro_onnx_would_feed(small: Catalogue) -> None:
    parent = small.resolve("replica-small")
    graph = small.examiner.graph(parent.model_path, parent.variant.sha256)
    feeds = make_feeds(parent.voices_path, graph, SENTENCES)
    assert len(feeds) == len(SENTENCES)
    voices = np.load(parent.voices_path)
    for index, feed in enumerate(feeds):
        tokens = feed["input_ids"]
        assert (tokens.dtype, tokens.shape[0], tokens[0, 0], tokens[0, -1]) == (np.int64, 1, 0, 0)
        voice = voices[sorted(voices.files)[index % len(voices.files)]]
        assert np.array_equal(feed["style"], voice[tokens.size - 3])
    assert [float(feed["speed"][0]) for feed in feeds[:4]] == pytest.approx([1.0, 0.8, 1.25, 1.0])


def test_feeds_survive_their_archive(small: Catalogue, tmp_path: Path) -> None:
    parent = small.resolve("replica-small")
    graph = small.examiner.graph(parent.model_path, parent.variant.sha256)
    feeds = make_feeds(parent.voices_path, graph, SENTENCES)
    write_feeds(tmp_path / "feeds.npz", feeds)
    assert feeds_digest(tuple(read_feeds(tmp_path / "feeds.npz"))) == feeds_digest(feeds)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ((), "0 of 0 calibration texts have at least 16 phonemes, and 8 are needed"),
        (SENTENCES[: LEAST_FEEDS - 1], "7 of 7 calibration texts"),
        (("Yes.",) * 20, "0 of 20 calibration texts"),
    ],
)
def test_too_few_or_short_texts_are_refused(small: Catalogue, texts: tuple[str, ...], said: str) -> None:
    parent = small.resolve("replica-small")
    graph = small.examiner.graph(parent.model_path, parent.variant.sha256)
    with pytest.raises(ModelError, match=f"{said}.* — give more or longer texts"):
        make_feeds(parent.voices_path, graph, texts)


@pytest.mark.usefixtures("true_child")
def test_the_childs_refusal_is_ours(small: Catalogue) -> None:
    with pytest.raises(ModelError, match=r"0 of 0 calibration texts have .* — give more or longer texts"):
        small.quantise("replica-small", "static-qdq", texts=())


def test_without_texts_nothing_is_calibrated(catalogue: Catalogue) -> None:
    with pytest.raises(ModelError, match="static-qdq learns its scales from real syntheses"):
        catalogue.resolve("replica-qdq")


def test_a_tool_that_changed_nothing_has_failed(tmp_path: Path, model_file: Make) -> None:
    path = model_file(tmp_path / "a.onnx")
    for method, kind in ((Method.BLOCKS, "MatMulNBits"), (Method.HALF, "16-bit weights")):
        with pytest.raises(ValueError, match=f"the tool converted nothing: no {kind} in its result"):
            converted(path, method)


def test_a_variant_that_does_not_speak_is_not_kept(
    catalogue: Catalogue, cache: Cache, tmp_path: Path, model_file: Make, voices_file: Make
) -> None:
    path = model_file(tmp_path / "mute.onnx", gain=0.0)
    with pytest.raises(ModelError, match=r"dynamic-u8 of mute-\w+ gives a model that does not speak: .*silence"):
        catalogue.quantise(path, "dynamic-u8", voices=voices_file(tmp_path / "v.bin"))
    assert cache.manifests() == ()
    assert list(cache.models.iterdir()) == []


def test_a_users_model_can_be_quantised(
    catalogue: Catalogue, tmp_path: Path, model_file: Make, voices_file: Make
) -> None:
    path, voices = model_file(tmp_path / "mine.onnx"), voices_file(tmp_path / "v.bin")
    files = catalogue.quantise(path, "u8", voices=voices)
    assert files.variant.name.startswith("mine-")
    assert files.variant.name.endswith("-u8")
    assert catalogue.resolve(files.variant.name) == files
    assert files.voices_path == voices


def test_a_variant_of_an_older_parent_is_not_taken_for_todays(catalogue: Catalogue, cache: Cache) -> None:
    older = catalogue.resolve("replica-u8").variant
    parent = catalogue.resolve("replica").model_path
    manifest = cache.models / f"{parent.stem}.json"
    cache.models.joinpath("replica-older.json").write_text(manifest.read_text())
    content = onnx.load(parent)
    content.graph.doc_string = "of another recipe"
    onnx.save(content, parent)
    text = manifest.read_text().replace(older.parent, sha256_of(parent))
    manifest.write_text(re.sub(r'"size": \d+', f'"size": {parent.stat().st_size}', text))
    with pytest.raises(ModelError, match="replica-u8 is not here"):
        catalogue.verify("replica-u8")
    assert catalogue.resolve("replica-u8").variant.parent == sha256_of(parent)
    notes = [(one.sha256 == older.sha256, one.note) for one in catalogue.entries() if one.name == "replica-u8"]
    assert sorted(notes, key=str) == [(False, ""), (True, "of an older recipe")]


def test_the_list_tells_todays_variant_from_an_older_one(
    here: Command, small_replica: ModelFiles, tmp_path: Path
) -> None:
    models = tmp_path / "cache" / "models"
    shutil.copytree(small_replica.model_path.parent, models, ignore=lambda _, names: [
        name for name in names if not name.startswith(small_replica.model_path.stem)
    ])  # fmt: skip
    place = {"KOKORO_BENCH_CACHE": str(tmp_path / "cache")}
    made = here("models", "quantise", "replica-small", "--recipe", "dynamic-u8", **place)
    assert made.returncode == 0, made.stderr
    (manifest,) = models.glob("replica-small-u8-*.json")
    (models / "replica-small-u8-0.json").write_text(manifest.read_text().replace(manifest.stem, "replica-small-u8-0"))
    shutil.copy(manifest.with_suffix(".onnx"), models / "replica-small-u8-0.onnx")
    listed = json.loads(here("models", "list", "--json", **place).stdout)
    notes = {Path(each["path"]).stem: each["note"] for each in listed if each["name"] == "replica-small-u8"}
    assert notes == {manifest.stem: "", "replica-small-u8-0": "of an older recipe"}


def test_a_quantised_model_is_not_quantised_again(small: Catalogue) -> None:
    with pytest.raises(ModelError, match="replica-small-u8 is quantised already — quantise what it was made from"):
        small.quantise("replica-small-u8", "fp16")


def test_a_failing_tool_is_one_line_with_versions(
    cache: Cache, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Answer(error="RuntimeError: no such operator")
    monkeypatch.setattr("harness.models.jobs.run_child", lambda *_: answer)
    parent = catalogue.resolve("replica")
    with pytest.raises(ModelError) as caught:
        quantise(parent, BY_NAME["fp16"], cache=cache, name="replica-fp16")
    assert "fp16 of replica fails: RuntimeError: no such operator" in str(caught.value)
    assert f"onnxruntime {tool_versions()['onnxruntime']}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_room_for_a_variant_is_said(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.resolve("replica")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(ModelError, match=r"replica-u8 needs 0\.1 MB of disk and 0\.0 MB are free"):
        catalogue.resolve("replica-u8")


@pytest.mark.usefixtures("true_child")
def test_a_childs_error_is_an_answer(tmp_path: Path) -> None:
    job = Quantise(source=str(tmp_path / "nix.onnx"), target=str(tmp_path / "out.onnx"), recipe="fp16")
    assert run_child(Job(quantise=job), tmp_path).error.startswith("FileNotFoundError: ")


@pytest.mark.usefixtures("true_child")
@pytest.mark.skipif(sys.platform == "win32", reason="a file that is never read to its end needs mkfifo")
def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    job = Speak(model=str(tmp_path / "pipe.onnx"), voices="")
    with pytest.raises(ModelError, match="did not finish within 0 s"):
        run_child(Job(speak=job), tmp_path, timeout_s=0.2)


@pytest.mark.usefixtures("true_child")
@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_a_child_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, os\nif '-m' in sys.orig_argv:\n    print('dying', file=sys.stderr, flush=True)\n    os.abort()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"crashed \(killed by SIGABRT\): .*dying"):
        run_child(Job(), tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither mkfifo nor SIGKILL")
def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    script = """
        import sys
        from pathlib import Path
        from harness.models.jobs import Job, Speak, run_child
        work = Path(sys.argv[1])
        run_child(Job(speak=Speak(model=str(work / "pipe.onnx"), voices="")), work)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    import psutil

    def children() -> list[psutil.Process]:
        return psutil.Process(parent.pid).children()

    deadline = time.monotonic() + 240
    while not (found := children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert found
    await_ended(found)


def test_a_cast_that_is_written_once_for_each_reader_is_kept_once(tmp_path: Path) -> None:
    """ONNX Runtime up to 1.31.1 makes such models of 16-bit floats, and does not load them."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1])
    end = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])
    cast = helper.make_node("Cast", ["x"], ["y"], name="x_cast_to_fp32_node", to=TensorProto.FLOAT)
    read = helper.make_node("Add", ["y", "y"], ["z"], name="add")
    model = helper.make_model(
        helper.make_graph([cast, cast, read], "g", [value], [end]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    with pytest.raises(Fail, match="two nodes with same node name"):
        InferenceSession(model.SerializeToString())
    drop_repeated_nodes(model)
    assert [node.name for node in model.graph.node] == ["x_cast_to_fp32_node", "add"]
    InferenceSession(model.SerializeToString())
