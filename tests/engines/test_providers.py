"""Providers that cannot run here, on the lists that their builds give: nothing pretends that they ran."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.engines.kokoro.session import open_session
from harness.engines.protocol import EngineOrder
from harness.engines.providers import PROVIDERS, find_provider, offers, provider_names
from harness.engines.speech import EngineRefusal

RECORDED: dict[str, list[str]] = json.loads((Path(__file__).parent / "data" / "providers.json").read_text())
"""Wheel → what `get_available_providers()` answers: the first and OpenVINO's as seen, others as documented."""
VERSION = "1.24.1"


class Runtime(ModuleType):
    """Stands for `onnxruntime`: a build that offers `available`, whose sessions come up with `granted`."""

    __version__ = VERSION

    def __init__(self, available: Sequence[str], granted: Sequence[str] = (), error: str = "") -> None:
        super().__init__("onnxruntime")
        self.available, self.granted, self.error = list(available), list(granted), error
        self.asked: list[Any] = []

    def get_available_providers(self) -> list[str]:
        return self.available

    def set_seed(self, seed: int) -> None:
        self.seed = seed

    def SessionOptions(self) -> SimpleNamespace:  # noqa: N802 - ONNX Runtime's name
        return SimpleNamespace()

    def InferenceSession(self, path: str, *, sess_options: object, providers: Sequence[Any]) -> SimpleNamespace:  # noqa: N802
        self.asked += providers
        if self.error:
            raise RuntimeError(self.error)
        metadata = SimpleNamespace(custom_metadata_map={})
        return SimpleNamespace(
            get_providers=lambda: self.granted, get_modelmeta=lambda: metadata, path=path, options=sess_options
        )


def order(provider: str, **options: str) -> EngineOrder:
    return EngineOrder(engine="kokoro", model_path="m.onnx", provider=provider, provider_options=options, seed=3)


def opened(monkeypatch: pytest.MonkeyPatch, runtime: Runtime, wanted: EngineOrder) -> Any:
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    return open_session(wanted)


def refused(monkeypatch: pytest.MonkeyPatch, runtime: Runtime, wanted: EngineOrder) -> str:
    with pytest.raises(EngineRefusal) as caught:
        opened(monkeypatch, runtime, wanted)
    return str(caught.value)


@pytest.mark.seam
@pytest.mark.parametrize("wheel", list(RECORDED))
def test_each_wheel_offers_what_it_is_known_for(wheel: str) -> None:
    here = {each.provider.name for each in offers(RECORDED[wheel], version=VERSION) if each.here}
    assert "cpu" in here
    known = {provider.name for provider in PROVIDERS if provider.wheel == wheel}
    assert known <= here, f"{wheel} is named as the wheel of {known - here}"


@pytest.mark.seam
def test_what_is_not_here_says_which_wheel_brings_it() -> None:
    found = {each.provider.name: each for each in offers(RECORDED["onnxruntime"], version=VERSION)}
    assert list(found) == list(provider_names())
    assert [name for name, each in found.items() if each.here] == ["cpu"]
    assert found["directml"].reason == (
        "provider 'directml' is not in this build of ONNX Runtime 1.24.1 (it offers AzureExecutionProvider, "
        "CPUExecutionProvider); it comes with onnxruntime-directml"
    )
    assert found["cpu"].reason == ""


@pytest.mark.seam
@pytest.mark.parametrize("name", [name for name in provider_names() if name != "cpu"])
def test_a_provider_is_asked_for_with_its_options_and_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    provider = find_provider(name)
    assert provider is not None
    runtime = Runtime([provider.ort, "CPUExecutionProvider"], granted=[provider.ort, "CPUExecutionProvider"])
    session = opened(monkeypatch, runtime, order(name, device_id="0"))
    assert runtime.asked == [(provider.ort, {"device_id": "0"})]
    assert session.path == "m.onnx"
    assert runtime.seed == 3


@pytest.mark.seam
@pytest.mark.parametrize("name", [name for name in provider_names() if name != "cpu"])
def test_a_session_that_came_up_on_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    provider = find_provider(name)
    assert provider is not None
    runtime = Runtime([provider.ort, "CPUExecutionProvider"], granted=["CPUExecutionProvider"])
    said = refused(monkeypatch, runtime, order(name))
    assert said.startswith(f"asked for {provider.ort}, but ONNX Runtime fell back to CPUExecutionProvider")
    assert said.endswith("brings the last two") == (name in {"cuda", "tensorrt"})


@pytest.mark.seam
@pytest.mark.parametrize("name", ["cuda", "cpu"])
def test_the_libraries_of_cuda_are_loaded_before_the_session(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    provider = find_provider(name)
    assert provider is not None
    runtime = Runtime([provider.ort], granted=[provider.ort])
    preloaded: list[list[object]] = []
    runtime.preload_dlls = lambda: preloaded.append(list(runtime.asked))  # type: ignore[attr-defined]
    opened(monkeypatch, runtime, order(name))
    assert preloaded == ([[]] if name == "cuda" else [])


def test_a_provider_that_is_not_in_the_build_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = Runtime(RECORDED["onnxruntime"])
    assert refused(monkeypatch, runtime, order("cuda")).endswith("; it comes with onnxruntime-gpu")
    assert runtime.asked == []


def test_a_model_that_the_provider_rejects_is_refused_with_beginning_and_end_of_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = "[ONNXRuntimeError] : 1 : FAIL : " + "std::basic_string<char>, " * 40 + "\nno Parameter with dynamic rank\n"
    runtime = Runtime(["OpenVINOExecutionProvider"], error=error)
    said = refused(monkeypatch, runtime, order("openvino"))
    assert said.startswith("ONNX Runtime 1.24.1 cannot load the model: [ONNXRuntimeError] : 1 : FAIL : ")
    assert said.endswith(" no Parameter with dynamic rank")
    assert len(said) < 500
