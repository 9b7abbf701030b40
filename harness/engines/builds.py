"""The distributions that install the module `onnxruntime`: one overwrites the files of another."""

import re

MODULE = "onnxruntime"
PLAIN = "onnxruntime"
BUILDS = (
    PLAIN,
    "onnxruntime-azure",
    "onnxruntime-cann",
    "onnxruntime-coreml",
    "onnxruntime-directml",
    "onnxruntime-gpu",
    "onnxruntime-gpu-extended",
    "onnxruntime-lite",
    "onnxruntime-macavx",
    "onnxruntime-migraphx",
    "onnxruntime-noopenmp",
    "onnxruntime-openmp",
    "onnxruntime-openvino",
    "onnxruntime-powerpc64le",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-silicon",
    "onnxruntime-training",
    "onnxruntime-training-cpu",
    "onnxruntime-trt-rtx",
    "onnxruntime-tvm",
    "onnxruntime-vitisai",
    "onnxruntime-webgpu",
    "onnxruntime-windowsml",
    "ort-nightly",
    "ort-nightly-directml",
    "ort-nightly-gpu",
    "ort-nightly-openvino",
    "ort-nightly-qnn",
    "ort-nightly-rocm",
)
"""Names of distributions, as `canonical` writes them. `onnxruntime-extensions`, `-genai…` and `-ep-…` install modules
of their own and stand beside one of these."""
PLUGIN_SINCE = {"onnxruntime-qnn": 2}
"""From this major version on a build is a plugin, which needs the plain distribution beside it."""


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_build(name: str, version: str = "") -> bool:
    """Whether a distribution installs the module `onnxruntime`; of an unknown version, whether any of it does."""
    name = canonical(name)
    plugin_since, major = PLUGIN_SINCE.get(name), version.partition(".")[0]
    if plugin_since is not None and major.isdecimal() and int(major) >= plugin_since:
        return False
    return name in BUILDS or name.startswith(("ort-nightly", "ort-gpu-nightly"))


def overwriting() -> tuple[str, ...]:
    """Name and version of every distribution here that installs the module, where there are several; else ()."""
    from importlib.metadata import distributions

    found = {}
    for each in distributions():
        name = canonical(each.name or "")
        # Only of those that may be one: reading the lists of files of all takes a second.
        if (is_build(name) or "onnxruntime" in name) and name not in found:
            files = (file.as_posix() for file in each.files or ())
            if any(file.startswith(f"{MODULE}/") for file in files):
                found[name] = f"{name} {each.version}"
    return tuple(sorted(found.values())) if len(found) > 1 else ()
