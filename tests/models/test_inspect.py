from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from harness.core.errors import ModelError
from harness.models.graph_facts import GraphFacts
from harness.models.inspect import Examiner, check_face, read_graph

Make = Callable[..., Path]


def test_the_facts_of_a_graph(tmp_path: Path, model_file: Make) -> None:
    facts = read_graph(model_file(tmp_path / "a.onnx"))
    assert [(one.name, one.dtype, one.shape) for one in facts.inputs] == [
        ("input_ids", "int64", (1, "N")),
        ("style", "float32", (1, 256)),
        ("speed", "float32", (1,)),
    ]
    assert [(one.name, one.dtype, one.shape) for one in facts.outputs] == [("waveform", "float32", ("samples",))]
    assert (facts.opset, facts.ir_version) == (17, 8)
    assert facts.operators == {
        "Add": 1,
        "Cast": 2,
        "MatMul": 1,
        "Mul": 4,
        "Range": 1,
        "ReduceMean": 1,
        "Sin": 1,
        "Size": 1,
    }
    assert facts.elements == 256 * 32 + 6


def test_nodes_and_weights_of_subgraphs_count(tmp_path: Path, model_file: Make) -> None:
    path = model_file(tmp_path / "a.onnx")
    model = onnx.load(path)
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [3])],
        [onnx.numpy_helper.from_array(np.zeros(3, dtype=np.float32), "inner")],
    )
    model.graph.node.append(onnx.helper.make_node("If", ["flag"], ["x"], then_branch=inner, else_branch=inner))
    onnx.save(model, path)
    facts = read_graph(path)
    assert (facts.operators["If"], facts.operators["Identity"]) == (1, 2)
    assert facts.elements == 256 * 32 + 6 + 2 * 3


def test_embedded_texts_are_facts(tmp_path: Path, model_file: Make) -> None:
    path = model_file(tmp_path / "a.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"kokoro_config": '{"vocab": {}}'})
    onnx.save(model, path)
    assert read_graph(path).metadata == {"kokoro_config": '{"vocab": {}}'}


@pytest.mark.parametrize("cut", [1, 100, 5_000, -1])
def test_a_truncated_model_is_told_from_another_file(tmp_path: Path, model_file: Make, cut: int) -> None:
    path = model_file(tmp_path / "a.onnx")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"a\.onnx: is truncated.* — get the file again"):
        read_graph(path)


def test_how_much_is_missing_is_said(tmp_path: Path, model_file: Make) -> None:
    path = model_file(tmp_path / "a.onnx")
    content = path.read_bytes()
    tail = len(onnx.load(path).opset_import[0].SerializeToString()) + 2
    path.write_bytes(content[: -tail - 10])
    with pytest.raises(ModelError, match=rf"is truncated: 10 bytes are missing after its {len(content) - tail - 10:,}"):
        read_graph(path)


@pytest.mark.parametrize(
    "content", [b"<!doctype html>", b"PK\x03\x04archive", b"version https://git-lfs", b"\x00" * 64, b"\xff" * 64]
)
def test_another_file_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"is not an ONNX model: it begins with b.* — give the .onnx file itself"):
        read_graph(tmp_path / "a.onnx")


def test_an_empty_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        read_graph(tmp_path / "a.onnx")


def test_a_graph_that_cannot_be_parsed_is_damaged(tmp_path: Path, model_file: Make) -> None:
    path = model_file(tmp_path / "a.onnx")
    content = bytearray(path.read_bytes())
    start = content.index(b"waveform") - 2
    content[start : start + 2] = b"\xff\xff"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is damaged"):
        read_graph(path)


def test_missing_and_short_external_weights_are_said(tmp_path: Path, model_file: Make) -> None:
    path = model_file(tmp_path / "a.onnx", external="a.data")
    examiner = Examiner(tmp_path / "graphs")
    assert examiner.graph(path, "0" * 64).external == {"a.data": 256 * 32 * 4}
    (tmp_path / "a.data").write_bytes(b"short")
    with pytest.raises(ModelError, match=r"weights in a\.data are truncated: 5 of 32,768 bytes — get a\.data again"):
        examiner.graph(path, "0" * 64)
    (tmp_path / "a.data").unlink()
    with pytest.raises(ModelError, match=r"weights are in a\.data, which is not beside it — put a\.data into"):
        examiner.graph(path, "0" * 64)


def test_a_graph_is_parsed_once(tmp_path: Path, model_file: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path, examiner = model_file(tmp_path / "a.onnx"), Examiner(tmp_path / "graphs")
    facts = examiner.graph(path, "0" * 64)
    monkeypatch.setattr("harness.models.inspect.examine", lambda _: pytest.fail("it was parsed again"))
    assert examiner.graph(path, "0" * 64) == facts


def test_damaged_memory_is_no_memory(tmp_path: Path, model_file: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.inspect.examine", read_graph)
    path, examiner = model_file(tmp_path / "a.onnx"), Examiner(tmp_path / "graphs")
    facts = examiner.graph(path, "0" * 64)
    for content in (b"{}", b'{"format": 0}', b"\x00"):
        next((tmp_path / "graphs").iterdir()).write_bytes(content)
        assert examiner.graph(path, "0" * 64) == facts


def facts_of(tmp_path: Path, model_file: Make, **options: object) -> GraphFacts:
    return read_graph(model_file(tmp_path / "a.onnx", **options))


@pytest.mark.parametrize("tokens", ["input_ids", "tokens"])
def test_both_faces_are_kokoros(tmp_path: Path, model_file: Make, tokens: str) -> None:
    check_face(tmp_path / "a.onnx", facts_of(tmp_path, model_file, tokens=tokens))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokens": "ids"}, "its inputs are ids, style, speed"),
        ({"inputs": ("style",)}, "its inputs are input_ids, style"),
        ({"inputs": ("style", "speed", "sid")}, "its inputs are input_ids, style, speed, sid"),
        ({"output": onnx.TensorProto.INT64}, r"its outputs are waveform \(int64\)"),
    ],
)
def test_another_graph_is_refused(tmp_path: Path, model_file: Make, options: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=f"is not a Kokoro graph: {said}"):
        check_face(tmp_path / "a.onnx", facts_of(tmp_path, model_file, **options))


def test_an_initialiser_that_is_listed_as_an_input_need_not_be_given(tmp_path: Path, model_file: Make) -> None:
    model = onnx.load(model_file(tmp_path / "a.onnx"))
    # As exporters wrote it up to IR version 3: every initialiser is an input with a default.
    model.ir_version = 3
    for each in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(each.name, each.data_type, each.dims))
    onnx.save(model, tmp_path / "old.onnx")
    facts = read_graph(tmp_path / "old.onnx")
    assert [each.name for each in facts.inputs] == ["input_ids", "style", "speed"]
    check_face(tmp_path / "old.onnx", facts)
