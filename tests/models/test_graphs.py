"""Graphs of a model that compute the same: made, compared with their source, and refused where they do not belong."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.cli.models import described
from harness.core.errors import ModelError, PackageError, UsageError
from harness.core.saved_graphs import STAMP, cpu_features, stamped_in, why_unfit
from harness.engines.kokoro.session import open_session
from harness.engines.protocol import EngineOrder
from harness.engines.speech import EngineRefusal
from harness.models.cache import Cache
from harness.models.catalogue import Catalogue
from harness.models.inspect import read_graph
from harness.models.optimise.norms import join_norms
from harness.models.optimise.recipes import BY_SUFFIX, Step
from harness.models.optimise.tools import largest_difference
from harness.models.weights import WeightFindings, compare_weights
from tests.conftest import Command
from tests.models.conftest import ToneReplicas, write_model, write_voices


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A catalogue with the true small replica, shared: making graphs takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.models.optimise.tools.LOADS", 1)
        catalogue = Catalogue(cache=Cache(tmp_path_factory.mktemp("cache")))
        catalogue.resolve("replica-small")
        yield catalogue


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A catalogue whose replica is a tone of a few nodes."""
    return Catalogue(cache=Cache(tmp_path_factory.mktemp("tone")), replicas=ToneReplicas())


@pytest.mark.parametrize("suffix", ["norms", "saved", "ort"])
def test_a_graph_computes_the_same_and_says_what_it_is(small: Catalogue, suffix: str) -> None:
    parent, recipe = small.resolve("replica-small"), BY_SUFFIX[suffix]
    files = small.resolve(f"replica-small-{suffix}")
    variant = files.variant
    assert (variant.origin, variant.recipe, variant.parent) == ("optimised", recipe.name, parent.variant.sha256)
    assert files.model_path.suffix == (".ort" if recipe.ort else ".onnx")
    found = described(small.show(variant.name))
    before, after = (sum(read_graph(each.model_path).operators.values()) for each in (parent, files))
    assert found["facts"]["nodes"] == f"{before:,} before, {after:,} after"
    assert after < before
    assert found["facts"]["largest difference"].endswith("of full scale, with the noise seeded")
    assert "s before" in found["facts"]["session"]
    assert found["parent_name"] == "replica-small"
    assert compare_weights(files.model_path, parent.model_path) == WeightFindings(compared=0 if recipe.ort else 204)
    assert ("CPU" in found["facts"]) == recipe.tied
    assert (STAMP in read_graph(files.model_path).metadata) == recipe.tied
    assert small.resolve(f"replica-small-{suffix}", report=pytest.fail) == files


def test_the_adaptive_norms_take_their_scale_and_shift_themselves(small: Catalogue) -> None:
    graph = onnx.load(small.resolve("replica-small-norms").model_path).graph
    given = {each.name for each in graph.initializer}
    norms = {node.name: node for node in graph.node if node.op_type == "InstanceNormalization"}
    plain = [name for name, node in norms.items() if node.input[1] in given]
    assert len(norms) - len(plain) > 50
    # The harmonic source adds the pitch up to a phase, which amplifies the last bit; three branches share a norm.
    assert all(name.startswith("/prosody/") or "branch2/norm0a" in name for name in plain), plain


def test_scale_and_shift_of_the_norm_itself_are_kept() -> None:
    """(s·n + b)·scale + shift, with an s that is not 1 and a b that is not 0."""
    rng = np.random.default_rng(0)
    constants = {
        "s": rng.normal(size=3).astype(np.float32),
        "b": rng.normal(size=3).astype(np.float32),
        "one": np.ones(1, dtype=np.float32),
    }
    nodes = [
        helper.make_node("InstanceNormalization", ["x", "s", "b"], ["n"], name="norm"),
        helper.make_node("Add", ["gamma", "one"], ["scale"]),
        helper.make_node("Mul", ["n", "scale"], ["product"]),
        helper.make_node("Neg", ["beta"], ["shift"]),
        helper.make_node("Add", ["product", "shift"], ["y"]),
    ]
    shapes = {"x": [1, 3, 8], "gamma": [1, 3, 1], "beta": [1, 3, 1]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8])
    held = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [output], held), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    import onnx_ir as ir
    import onnxruntime as ort

    changed = ir.serde.deserialize_model(model)
    assert join_norms(changed) == 1
    feed = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    (before,), (after,) = (
        ort.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)
        for each in (model, ir.serde.serialize_model(changed))
    )
    assert np.abs(before - after).max() < 1e-6


def test_a_saved_graph_loads_here(tone: Catalogue) -> None:
    for suffix in ("saved", "ort"):
        session = open_session(
            EngineOrder(engine="kokoro", model_path=str(tone.resolve(f"replica-{suffix}").model_path))
        )
        assert session.get_inputs()


@pytest.mark.parametrize("suffix", ["saved", "ort"])
@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"version": "1.22.1"}, r"saved by onnxruntime [\d.]+, and here is onnxruntime 1\.22\.1"),
        ({"cpu": "x86_64 avx"}, r"for a CPU with .*; this one has x86_64 avx"),
        ({"provider": "openvino"}, "for the provider cpu, and here it is openvino"),
    ],
)
def test_elsewhere_a_saved_graph_is_refused(
    tone: Catalogue, suffix: str, here: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    path = tone.resolve(f"replica-{suffix}").model_path
    if "cpu" in here:
        monkeypatch.setattr("harness.core.saved_graphs.cpu_features", lambda: here["cpu"])
    if "version" in here:
        monkeypatch.setattr(onnxruntime, "__version__", here["version"])
    if "provider" in here:
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["OpenVINOExecutionProvider"])

        class Anywhere(onnxruntime.InferenceSession):  # type: ignore[misc]
            def __init__(self, path: str, **_given: object) -> None:
                super().__init__(path, providers=["CPUExecutionProvider"])

        monkeypatch.setattr("onnxruntime.InferenceSession", Anywhere)
    order = EngineOrder(engine="kokoro", model_path=str(path), provider=here.get("provider", "cpu"))
    with pytest.raises(EngineRefusal, match=f"{said} — make it again here with `kokoro-bench models optimise`"):
        open_session(order)


def test_a_saved_graph_that_does_not_load_is_refused_by_its_stamp(
    tone: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older ONNX Runtime does not know its operators: what it says of them helps nobody."""
    path = tone.resolve("replica-saved").model_path
    assert why_unfit(stamped_in(path), version="1.32.0-other") != ""
    import onnxruntime

    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            raise RuntimeError("no such operator")

    monkeypatch.setattr(onnxruntime, "__version__", "1.20.1")
    monkeypatch.setattr("onnxruntime.InferenceSession", Broken)
    with pytest.raises(EngineRefusal, match=r"saved by onnxruntime [\d.]+, and here is onnxruntime 1\.20\.1"):
        open_session(EngineOrder(engine="kokoro", model_path=str(path)))


def test_the_stamp_names_version_provider_and_cpu(tone: Catalogue) -> None:
    import onnxruntime

    for suffix in ("saved", "ort"):
        path = tone.resolve(f"replica-{suffix}").model_path
        saved = read_graph(path).metadata[STAMP]
        assert saved == f"onnxruntime {onnxruntime.__version__}; cpu; {cpu_features()};"
        assert stamped_in(path) == {STAMP: saved}


def test_a_file_of_onnxruntimes_own_format_can_be_a_users_model(small: Catalogue, tmp_path: Path) -> None:
    files = small.resolve("replica-small-ort")
    own = tmp_path / "mine.ort"
    own.write_bytes(files.model_path.read_bytes())
    assert Catalogue(cache=Cache(tmp_path / "cache")).resolve(own, files.voices_path).variant.origin == "user"
    graph = read_graph(own)
    assert [(each.name, each.dtype) for each in graph.inputs] == [
        ("input_ids", "int64"), ("style", "float32"), ("speed", "float32")
    ]  # fmt: skip
    assert graph.elements > 100_000
    own.write_bytes(files.model_path.read_bytes()[:5_000])
    with pytest.raises(ModelError, match="is damaged"):
        read_graph(own)


def test_a_graph_that_computes_something_else_is_not_kept(
    catalogue: Catalogue, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simplifier breaks the model: it is named, and so is what differs."""
    monkeypatch.setattr(
        "harness.models.optimise.tools._by_onnxruntime", lambda _source, target, _recipe: write_model(target, gain=0.9)
    )
    path, voices = write_model(tmp_path / "mine.onnx"), write_voices(tmp_path / "v.bin")
    with pytest.raises(ModelError, match=r"folded of mine-\w+ fails: .*its audio differs by 0\.03 of full scale"):
        catalogue.optimise(path, "folded", voices=voices)
    assert cache.manifests() == ()


def test_a_graph_of_another_length_is_another(tmp_path: Path) -> None:
    ours, theirs = write_model(tmp_path / "a.onnx"), write_model(tmp_path / "b.onnx", samples=1801)
    with pytest.raises(ValueError, match="samples, and the model that it was made from"):
        largest_difference(ours, theirs, write_voices(tmp_path / "v.bin"), bound=1.0)


def test_a_simplifier_that_is_not_installed_is_named(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.optimise.version_of", lambda name: "" if name == "onnxslim" else "1.0")
    with pytest.raises(PackageError, match=r"onnxslim is not installed — pip install 'kokoro-bench\[optimise\]'"):
        catalogue.optimise("replica", "slim")


def test_a_graph_without_such_norms_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(ModelError, match=r"norms of replica fails: .*it has no instance norm"):
        catalogue.optimise("replica", "norms")


def test_a_saved_graph_is_changed_no_further(catalogue: Catalogue) -> None:
    saved = catalogue.optimise("replica", "saved")
    for change in (catalogue.optimise, catalogue.quantise):
        recipe = "folded" if change == catalogue.optimise else "u8"
        with pytest.raises(ModelError, match="replica-saved is a saved graph, which no recipe changes"):
            change(saved.variant.name, recipe)


def test_another_cpu_gets_a_file_of_its_own(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    here = catalogue.optimise("replica", "saved")
    monkeypatch.setattr("harness.models.optimise.cpu_features", lambda: "x86_64 avx")
    with pytest.raises(ModelError, match="replica-saved is not here"):
        catalogue.show("replica-saved")
    assert catalogue.optimise("replica", "folded").model_path != here.model_path


def test_an_unknown_recipe_is_refused_with_the_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError, match=r"no recipe 'save' — .*saved"):
        catalogue.optimise("replica", "save")


def test_every_step_has_a_recipe() -> None:
    assert {recipe.step for recipe in BY_SUFFIX.values()} == set(Step)


def test_a_quantised_model_can_be_made_a_graph(cache: Cache, replicas: ToneReplicas) -> None:
    files = Catalogue(cache=cache, replicas=replicas).resolve("replica-u8-folded")
    assert files.variant.origin == "optimised"


def test_the_command_refuses_a_saved_graph_of_another_version(kokoro_bench: Command, tmp_path: Path) -> None:
    """The user's own copy, which no cache knows: the worker reads what the file was saved for."""
    model = onnx.load(write_model(tmp_path / "mine.onnx"))
    onnx.helper.set_model_props(model, {STAMP: "onnxruntime 1.22.1; cpu; x86_64 avx2;"})
    onnx.save(model, tmp_path / "mine.onnx")
    write_voices(tmp_path / "v.npz")
    given = ("--model", "mine.onnx", "--voices", "v.npz")
    done = kokoro_bench("validate", *given, "--text", "chars-12", "--launches", "1", "--blocks", "1")
    assert done.returncode == 3, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "this graph was optimised and saved by onnxruntime 1.22.1, and here is onnxruntime " in said
    assert "make it again here with `kokoro-bench models optimise`" in said
    sound = kokoro_bench("models", "verify", "mine.onnx", "--voices", "v.npz")
    assert sound.returncode == 2
    assert "BAD  speech: ValueError: this graph was optimised and saved by onnxruntime 1.22.1" in sound.stdout
