"""What is pasted must be what was measured: both are run, and compared."""

from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from harness.analysis.advice.snippet import option_lines, snippet
from harness.core.records.scenario import Arm, Runtime
from harness.engines.kokoro.session import SESSION_OPTIONS, session_options
from harness.engines.protocol import EngineOrder
from harness.models.files import ModelFiles

COMPARED = (
    "intra_op_num_threads", "inter_op_num_threads", "graph_optimization_level", "execution_mode",
    "enable_cpu_mem_arena", "enable_mem_pattern",
)  # fmt: skip
VALUES = {
    "graph_optimization": ("disable", "basic", "extended", "all"),
    "execution_mode": ("sequential", "parallel"),
    "inter_threads": ("2",),
    "arena": ("on", "off"),
    "arena_shrink": ("on", "off"),
    "memory_pattern": ("true", "0"),
    "spinning": ("on", "off"),
}


def test_every_option_is_known_here() -> None:
    assert VALUES.keys() == SESSION_OPTIONS.keys()


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALUES.items() for value in values])
def test_the_options_are_those_of_the_worker(name: str, value: str, threads: int) -> None:
    ours: dict[str, Any] = {"options": onnxruntime.SessionOptions(), "ort": onnxruntime}
    exec("\n".join(option_lines({name: value}, threads=threads)), ours)  # noqa: S102 - it is there to be executed
    order = EngineOrder(engine="kokoro", threads=threads, session_options={name: value})
    measured = session_options(order)
    for attribute in COMPARED:
        assert getattr(ours["options"], attribute) == getattr(measured, attribute), attribute
    if name == "spinning":
        key = "session.intra_op.allow_spinning"
        assert ours["options"].get_session_config_entry(key) == measured.get_session_config_entry(key)


def test_pasted_snippet_synthesises_speech(small_replica: ModelFiles) -> None:
    options = (("arena_shrink", "on"), ("spinning", "off"))
    text = snippet(
        Arm(engine="kokoro", threads=1, session_options=options),
        model_path=str(small_replica.model_path),
        voices_path=str(small_replica.voices_path),
    )
    pasted: dict[str, Any] = {}
    exec(text, pasted)  # noqa: S102 - likewise
    audio, rate = pasted["kokoro"].create("Hello there.", voice="af_heart")
    assert rate == 24_000
    assert len(audio) > rate // 4


def test_packages_of_its_own_are_named_first() -> None:
    arm = Arm(
        engine="kokoro",
        provider="openvino",
        provider_options=(("device_type", "CPU"),),
        runtime=Runtime(name="o", requirements=("onnxruntime-openvino==1.24.1",)),
    )
    lines = snippet(arm, model_path="m.onnx", voices_path="v.bin").splitlines()
    assert lines[0] == "# pip install onnxruntime-openvino==1.24.1"
    assert "    providers=[('OpenVINOExecutionProvider', {'device_type': 'CPU'})]," in lines


def test_shrinking_acts_on_every_run() -> None:
    text = snippet(Arm(engine="kokoro", session_options=(("arena_shrink", "on"),)), model_path="m", voices_path="v")
    called: list[Any] = []

    def run(outputs: object, feeds: object, run_options: object = None) -> None:
        called.append((outputs, feeds, run_options))

    session = SimpleNamespace(run=run)
    lines = text.splitlines()
    begin = lines.index("run_options = ort.RunOptions()")
    pasted = "\n".join(["from functools import partial", *lines[begin : begin + 3]])
    exec(pasted, {"ort": onnxruntime, "session": session})  # noqa: S102 - likewise
    session.run(None, {})
    assert isinstance(called[0][2], onnxruntime.RunOptions)
