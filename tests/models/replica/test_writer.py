from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from harness.core.errors import ModelError
from harness.models.replica import dimensions as dimensions_module
from harness.models.replica.weights import Draws, Weight
from harness.models.replica.writer import write_model

EXPECTED = ["0x1.70c31e0000000p+0", "-0x1.22e44e0000000p-1", "0x1.3d3ef00000000p-1"]


def _model() -> onnx.ModelProto:
    node = helper.make_node("Add", ["a", "b"], ["c"])
    output = helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [2, 300])
    return helper.make_model(helper.make_graph([node], "sum", [], [output]), producer_name="test")


def _weight(name: str, values: np.ndarray) -> Weight:
    return Weight(name=name, shape=values.shape, make=lambda: values)


def test_a_file_written_in_pieces_is_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 300), np.float32), rng.standard_normal((1,), np.float32)
    path = tmp_path / "model.onnx"
    write_model(_model(), [_weight("a", a), _weight("b", b)], path)
    expected = _model()
    expected.graph.initializer.extend([numpy_helper.from_array(a, "a"), numpy_helper.from_array(b, "b")])
    assert onnx.load(str(path)) == expected
    assert path.stat().st_size == len(expected.SerializeToString())


def _unmakeable() -> np.ndarray:
    raise OSError("disk full")


@pytest.mark.parametrize(
    "broken",
    [
        Weight(name="a", shape=(2, 300), make=_unmakeable),
        Weight(name="a", shape=(2, 300), make=lambda: np.zeros((300, 2), np.float32)),
    ],
)
def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path, broken: Weight) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    with pytest.raises((OSError, ValueError)):
        write_model(_model(), [broken], path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_bytes() == b"before"


def test_draws_have_the_stated_moments_and_no_denormals() -> None:
    values = Draws(seed=0).uniform("w", (400, 500), 0.05, mean=0.01)
    assert values.dtype == np.float32
    assert abs(float(values.mean()) - 0.01) < 5e-4
    assert abs(float(values.std()) - 0.05) < 5e-4
    drawn = Draws(seed=0).uniform("w", (400, 500), 1e-3)
    assert float(np.abs(drawn[drawn != 0]).min()) > np.finfo(np.float32).tiny


def test_draws_are_the_same_bits_everywhere() -> None:
    """Fixed values: a change here is a change of every replica, and needs a new recipe version."""
    values = Draws(seed=0).uniform("w", (3,), 1.0)
    assert [value.hex() for value in values.tolist()] == EXPECTED


def test_draws_depend_on_seed_and_name() -> None:
    first = Draws(seed=0).uniform("w", (8,), 1.0)
    assert not np.array_equal(first, Draws(seed=1).uniform("w", (8,), 1.0))
    assert not np.array_equal(first, Draws(seed=0).uniform("v", (8,), 1.0))
    assert np.array_equal(first[:5], Draws(seed=0).uniform("w", (5,), 1.0))


def test_without_kokoro_onnx_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimensions_module, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="kokoro-onnx") as caught:
        dimensions_module.configuration_text.__wrapped__()
    assert "pip install" in caught.value.remedy
