"""ONNX Runtime's execution providers with their short names, and the packages that contain them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """`name` is the short name, `ort` that of ONNX Runtime, `wheel` the package on PyPI that contains the provider.

    `on_cpu` is True if threads of the process do the work, unless options name another device. `needs` says what must
    be installed besides the wheel.
    """

    name: str
    ort: str
    wheel: str
    on_cpu: bool = False
    needs: str = ""


NVIDIA = "NVIDIA's driver, CUDA and cuDNN: `pip install onnxruntime-gpu[cuda,cudnn]` brings the last two"


PROVIDERS: tuple[Provider, ...] = (
    Provider(name="cpu", ort="CPUExecutionProvider", wheel="onnxruntime", on_cpu=True),
    Provider(name="coreml", ort="CoreMLExecutionProvider", wheel="onnxruntime (macOS)"),
    Provider(name="cuda", ort="CUDAExecutionProvider", wheel="onnxruntime-gpu", needs=NVIDIA),
    Provider(name="tensorrt", ort="TensorrtExecutionProvider", wheel="onnxruntime-gpu", needs=f"TensorRT, {NVIDIA}"),
    Provider(name="directml", ort="DmlExecutionProvider", wheel="onnxruntime-directml"),
    Provider(name="openvino", ort="OpenVINOExecutionProvider", wheel="onnxruntime-openvino", on_cpu=True),
    Provider(name="rocm", ort="ROCMExecutionProvider", wheel="onnxruntime-rocm"),
    Provider(name="migraphx", ort="MIGraphXExecutionProvider", wheel="onnxruntime-migraphx"),
    Provider(name="xnnpack", ort="XnnpackExecutionProvider", wheel="a build of your own (--use_xnnpack)", on_cpu=True),
    Provider(name="qnn", ort="QNNExecutionProvider", wheel="onnxruntime-qnn"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Whether a build of ONNX Runtime has a provider; `reason` says why not."""

    provider: Provider
    here: bool
    reason: str = ""


def offers(available: Sequence[str], *, version: str) -> tuple[Offer, ...]:
    """Every known provider, and whether it is among those `available` in ONNX Runtime of that version."""
    return tuple(
        Offer(provider=each, here=True)
        if each.ort in available
        else Offer(provider=each, here=False, reason=why_absent(each, available, version=version))
        for each in PROVIDERS
    )


def why_absent(provider: Provider, available: Sequence[str], *, version: str) -> str:
    """A sentence on a provider that a build does not contain."""
    return (
        f"provider {provider.name!r} is not in this build of ONNX Runtime {version} "
        f"(it offers {', '.join(available)}); it comes with {provider.wheel}"
    )


def provider_names() -> tuple[str, ...]:
    """The short names of all known providers, installed or not."""
    return tuple(provider.name for provider in PROVIDERS)


def find_provider(name: str) -> Provider | None:
    """The provider with a short name; None if there is none."""
    return next((provider for provider in PROVIDERS if provider.name == name), None)
