"""ONNX Runtime's execution providers under our short names, and the wheel that brings each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """`name` is ours, `ort` is ONNX Runtime's, `wheel` the package on PyPI whose build has it."""

    name: str
    ort: str
    wheel: str


PROVIDERS: tuple[Provider, ...] = (
    Provider(name="cpu", ort="CPUExecutionProvider", wheel="onnxruntime"),
    Provider(name="coreml", ort="CoreMLExecutionProvider", wheel="onnxruntime (macOS)"),
    Provider(name="cuda", ort="CUDAExecutionProvider", wheel="onnxruntime-gpu"),
    Provider(name="tensorrt", ort="TensorrtExecutionProvider", wheel="onnxruntime-gpu"),
    Provider(name="directml", ort="DmlExecutionProvider", wheel="onnxruntime-directml"),
    Provider(name="openvino", ort="OpenVINOExecutionProvider", wheel="onnxruntime-openvino"),
    Provider(name="rocm", ort="ROCMExecutionProvider", wheel="onnxruntime-rocm"),
    Provider(name="migraphx", ort="MIGraphXExecutionProvider", wheel="onnxruntime-migraphx"),
    Provider(name="xnnpack", ort="XnnpackExecutionProvider", wheel="a build of your own (--use_xnnpack)"),
    Provider(name="qnn", ort="QNNExecutionProvider", wheel="onnxruntime-qnn"),
)


def provider_names() -> tuple[str, ...]:
    """Our short names."""
    return tuple(provider.name for provider in PROVIDERS)


def find_provider(name: str) -> Provider | None:
    """The provider with our short name, None where there is none."""
    return next((provider for provider in PROVIDERS if provider.name == name), None)
