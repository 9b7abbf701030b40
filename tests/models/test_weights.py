"""Whether each weight of a model is found to be its original's: kept, rounded, repacked, lost or changed."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from harness.models.weights import WeightFindings, compare_weights

Arrays = dict[str, NDArray[np.generic]]

WEIGHT = np.random.default_rng(5).standard_normal((16, 32)).astype(np.float32)
PLAIN = helper.make_node("MatMul", ["x", "dense"], ["y"])
STEP = np.float32(np.abs(WEIGHT).max() / 100)


def save(path: Path, arrays: Arrays, nodes: Sequence[NodeProto] = (PLAIN,)) -> Path:
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], tensors)), path)
    return path


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., WeightFindings]:
    """Compare a model of arrays with the original, whose one weight is `dense`."""

    def finding(
        arrays: Arrays, nodes: Sequence[NodeProto] = (PLAIN,), original: NDArray[np.generic] = WEIGHT
    ) -> WeightFindings:
        original_path = save(tmp_path / "original.onnx", {"dense": original})
        return compare_weights(save(tmp_path / "model.onnx", arrays, nodes), original_path)

    return finding


def rounded(axis: int | None = None) -> Arrays:
    """The weight in 8 bits, with a scale and a zero point for all or for each index of an axis."""
    step = STEP if axis is None else np.abs(WEIGHT).max(axis=1 - axis) / 100
    wide = step if axis is None else np.expand_dims(step, 1 - axis)
    quantised = (np.round(WEIGHT / wide) + 120).astype(np.uint8)
    zero = np.full(np.shape(step), 120, np.uint8)
    return {"dense_quantized": quantised, "dense_scale": np.asarray(step, np.float32), "dense_zero_point": zero}


def packed() -> Arrays:
    """The weight in 4 bits: rows of its transpose, in blocks of 16."""
    blocks = WEIGHT.T.reshape(32, 1, 16)
    scales = np.abs(blocks).max(axis=-1) / 7
    numbers = (np.round(blocks / scales[..., None]) + 8).astype(np.uint8)
    return {"dense_Q4": numbers[..., ::2] | numbers[..., 1::2] << 4, "dense_scales": scales.reshape(-1).astype("f4")}


SAME: dict[str, Arrays] = {
    "as it is": {"dense": WEIGHT},
    "16 bits": {"dense": WEIGHT.astype(np.float16)},
    "transposed": {"dense": np.ascontiguousarray(WEIGHT.T)},
    "8 bits": rounded(),
    "8 bits by row": rounded(0),
    "8 bits by column": rounded(1),
    "4 bits": packed(),
    "joined zero points": {name: array for name, array in rounded().items() if name != "dense_zero_point"},
}


@pytest.mark.parametrize("how", SAME)
def test_what_recipes_do_to_weights_is_no_damage(found: Callable[..., WeightFindings], how: str) -> None:
    assert found(SAME[how]) == WeightFindings(compared=1)


def test_a_zero_point_that_another_weight_shares_is_the_nodes(found: Callable[..., WeightFindings]) -> None:
    arrays = rounded()
    arrays["other_zero_point"] = arrays.pop("dense_zero_point")
    node = helper.make_node("MatMulInteger", ["x", "dense_quantized", "", "other_zero_point"], ["y"])
    assert found(arrays, [node]) == WeightFindings(compared=1)


def zeroed(arrays: Arrays) -> Arrays:
    first, *rest = arrays
    nothing = np.full_like(arrays[first], 120 if first.endswith("_quantized") else 0x88 if first.endswith("_Q4") else 0)
    return {first: nothing, **{name: arrays[name] for name in rest}}


@pytest.mark.parametrize("how", SAME)
def test_a_weight_of_one_value_is_lost(found: Callable[..., WeightFindings], how: str) -> None:
    arrays = zeroed(SAME[how])
    name = next(iter(arrays))
    expected = WeightFindings(compared=1, lost=f"{name} holds one value throughout, and the original's does not")
    assert found(arrays) == expected


def test_a_weight_that_is_no_number_is_lost(found: Callable[..., WeightFindings]) -> None:
    broken = WEIGHT.copy()
    broken[3, 4] = np.nan
    assert found({"dense": broken}).lost == "dense holds values that are no numbers"


@pytest.mark.parametrize(
    ("arrays", "distance"),
    [({"dense": -WEIGHT}, "200%"), ({"dense": WEIGHT[::-1].copy()}, r"1[34]\d%"), ({"dense": 0.4 * WEIGHT}, "60%")],
)
def test_another_weight_is_changed(found: Callable[..., WeightFindings], arrays: Arrays, distance: str) -> None:
    findings = found(arrays)
    assert findings.lost == ""
    assert findings.compared == 1
    assert re.fullmatch(f"dense lies {distance} of its length from the original's", findings.changed)


def test_a_constant_weight_that_became_zero_is_changed(found: Callable[..., WeightFindings]) -> None:
    ones = np.ones((16, 32), np.float32)
    assert found({"dense": 0 * ones}, original=ones).changed == "dense lies 100% of its length from the original's"


def test_of_what_has_no_partner_only_a_constant_weight_is_lost(found: Callable[..., WeightFindings]) -> None:
    nothing = np.zeros((16, 32), np.float32)
    node = helper.make_node("MatMul", ["x", "fused"], ["y"])
    assert found({"fused": nothing}, [node]) == WeightFindings(compared=0, lost="fused holds one value throughout")
    assert found({"state": nothing}, []) == WeightFindings(compared=0)
    assert found({"fused": WEIGHT}, [node]) == WeightFindings(compared=0)


def test_several_are_counted(found: Callable[..., WeightFindings]) -> None:
    nodes = [helper.make_node("MatMul", ["x", name], [f"{name}-y"]) for name in ("dense", "more")]
    zero = np.zeros((16, 32), np.float32)
    text = found({"dense": zero, "more": zero}, nodes).text
    assert text == "dense holds one value throughout, and the original's does not, and 1 more"
