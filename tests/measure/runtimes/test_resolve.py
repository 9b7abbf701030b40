"""What a runtime is completed with, and what is kept out of it."""

from importlib.metadata import version
from pathlib import Path

import pytest

from harness.core.errors import RuntimeBuildError, UsageError
from harness.core.records.scenario import Runtime
from harness.measure.runtimes.build import declared, find_runtime
from harness.measure.runtimes.resolve import overrides, with_defaults


def test_what_is_not_named_is_as_it_is_here() -> None:
    ours = (f"kokoro-onnx=={version('kokoro-onnx')}", "numpy", "onnxruntime==1.22.1", "psutil")
    assert with_defaults(["onnxruntime==1.22.1"]) == ours


def test_another_wheel_stands_in_for_onnxruntime() -> None:
    completed = with_defaults(["onnxruntime-openvino==1.24.1", "numpy<2"])
    assert not any(requirement.startswith("onnxruntime==") for requirement in completed)
    assert "numpy" not in completed
    assert overrides(completed) == ("onnxruntime; python_version < '3'",)
    assert overrides(with_defaults(["onnxruntime==1.22.1"])) == ()


def test_what_is_no_requirement_is_refused() -> None:
    with pytest.raises(RuntimeBuildError, match="no requirement"):
        with_defaults(["==1.2"])


def test_declared_runtimes_go_by_their_name() -> None:
    known = declared({"runtimes": {"old": ["onnxruntime==1.20.1"]}}, root=Path())
    assert find_runtime("old", known) == Runtime(name="old", requirements=("onnxruntime==1.20.1",))
    assert find_runtime("onnxruntime==1.22.1 numpy<2", known).requirements == ("numpy<2", "onnxruntime==1.22.1")


@pytest.mark.parametrize(
    "table", [{"runtimes": ["old"]}, {"runtimes": {"old": "onnxruntime"}}, {"runtimes": {"old": [1]}}]
)
def test_a_table_that_makes_no_sense_names_the_right_form(table: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"old = \[|must be"):
        declared(table, root=Path())


def test_an_unknown_runtime_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'older'"):
        find_runtime("oldr", {"older": Runtime(name="older", requirements=("onnxruntime==1.20.1",))})
