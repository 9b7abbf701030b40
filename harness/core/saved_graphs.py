"""The stamp of a graph that ONNX Runtime has optimised and saved, and whether it may run here.

The optimised graph has operators and weight layouts of one version of ONNX Runtime, one execution provider and the
instruction sets of one CPU. Elsewhere it may fail to load, or load and compute something else. So the file states in
its metadata where it was saved, and every process that loads it compares that with itself. Runs in every environment
of a worker, so it needs the standard library alone.
"""

import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

STAMP = "kokoro_bench_saved_by"
"""The key of the file's metadata that has the stamp."""
_DECISIVE = (
    "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8",
    "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Instruction sets by which ONNX Runtime chooses kernels and the layout of weights, as Linux names them."""
_CPUINFO = Path("/proc/cpuinfo")

REMEDY = "make it again here with `kokoro-bench models optimise`, or take the model that it was made from"


@lru_cache(maxsize=1)
def cpu_features() -> str:
    """The CPU's architecture and its instruction sets that decide on kernels; the architecture alone if not Linux."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    listed = next((line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features"))), "")
    present = set(listed.split())
    return " ".join([platform.machine().lower(), *(name for name in _DECISIVE if name in present)])


def stamp(*, version: str, provider: str, features: str) -> str:
    """The stamp: the version of ONNX Runtime, our short name of the provider, and `cpu_features` of the machine."""
    return f"onnxruntime {version}; {provider}; {features};"


def why_unfit(metadata: Mapping[str, str], *, version: str, provider: str = "cpu") -> str:
    """Why the file with this `metadata` must not run here, as a clause; "" if it may.

    `version` is that of ONNX Runtime in this process, `provider` our short name of the provider in use.
    """
    saved = metadata.get(STAMP, "")
    if not saved:
        return ""
    their_version, their_provider, their_features = (part.strip() for part in f"{saved};;".split(";")[:3])
    here = f"onnxruntime {version}"
    if their_version != here:
        return f"this graph was optimised and saved by {their_version}, and here is {here}"
    if their_provider != provider:
        return f"this graph was optimised and saved for the provider {their_provider}, and here it is {provider}"
    if their_features != cpu_features():
        return f"this graph was optimised and saved for a CPU with {their_features}; this one has {cpu_features()}"
    return ""


def stamped_in(path: Path) -> dict[str, str]:
    """The stamp in a file that ONNX Runtime does not load, found among its bytes; {} if there is none.

    Protobuf and FlatBuffers both keep texts as they are, so the file needs no parser.
    """
    import mmap
    import re

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            stamped = content.find(STAMP.encode()) >= 0
            found = re.search(rb"onnxruntime \d[\w.+-]*; \w+; [\w ]+;", content) if stamped else None
            return {STAMP: found.group().decode()} if found else {}
    except (OSError, ValueError):  # missing or empty: ONNX Runtime's own error says so
        return {}
