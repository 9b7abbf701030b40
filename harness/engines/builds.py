"""The distributions that install the module `onnxruntime`: one overwrites the files of another."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

from harness.core.comma_lists import listed
from harness.core.errors import RuntimeBuildError, UsageError

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
"""Names of distributions, as `canonical` writes them. `onnxruntime-extensions`, `-genai…` and `-ep-…` are no builds:
they install modules of their own."""
NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
PLUGIN_SINCE = {"onnxruntime-qnn": 2}
"""Build → the major version since which it is a plugin, which needs the plain distribution."""


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_build(name: str, version: str = "") -> bool:
    """Whether a distribution installs the module `onnxruntime`; without `version`, whether any of its versions does."""
    name = canonical(name)
    plugin_since, major = PLUGIN_SINCE.get(name), version.partition(".")[0]
    if plugin_since is not None and major.isdecimal() and int(major) >= plugin_since:
        return False
    return name in BUILDS or name.startswith(("ort-nightly", "ort-gpu-nightly"))


def overwriting() -> tuple[str, ...]:
    """Name and version of the installed distributions that install the module; empty if there is at most one."""
    from importlib.metadata import distributions

    found = {}
    for each in distributions():
        name = canonical(each.name or "")
        # Reading the lists of files of all distributions takes a second.
        if (is_build(name) or "onnxruntime" in name) and name not in found:
            files = (file.as_posix() for file in each.files or ())
            if any(file.startswith(f"{MODULE}/") for file in files):
                found[name] = f"{name} {each.version}"
    return tuple(sorted(found.values())) if len(found) > 1 else ()


def installed_versions(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Name and version of each of the distributions that is installed here, in the given order."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in names:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return tuple(found)


def builds_in(requirements: Sequence[str]) -> tuple[str, ...]:
    """The builds of ONNX Runtime among the requirements, without repetition."""
    found = []
    for requirement in requirements:
        name = distribution_of(requirement)
        exact = re.search(r"(?:===?|>=|~=)\s*(\d+)", requirement)
        if is_build(name, exact[1] if exact else ""):
            found.append(name)
    return tuple(dict.fromkeys(found))


def refuse_several_builds(requirements: Sequence[str], *, where: str) -> None:
    """Raise UsageError if the requirements name more than one build of ONNX Runtime."""
    builds = builds_in(requirements)
    if len(builds) > 1:
        raise UsageError(
            f"{listed(builds)} overwrite one another: all of them install the module {MODULE}",
            where=where,
            remedy="name one of them; compare two in two runtimes",
        )


def distribution_of(requirement: str) -> str:
    """The canonical name of a requirement's distribution. RuntimeBuildError if it has none."""
    match = NAME.match(requirement)
    if match is None:
        raise RuntimeBuildError(f"{requirement!r} is no requirement", where="--runtime", remedy="onnxruntime==1.22.1")
    return canonical(match[1])


def overwriting_note() -> str:
    """A sentence on installed builds that overwrite one another; "" if there is at most one."""
    several = overwriting()
    if not several:
        return ""
    return (
        f"{' and '.join(several)} overwrite one another: all of them install the module {MODULE}, so it is unknown "
        "which of them was measured; kokoro-bench doctor shows how to keep only one."
    )
