"""Reads memray's files of one launch: which lines hold the memory.

Native stacks are not asked for: the libraries of ONNX Runtime's wheels have no names of functions. The line that calls
one of them says what it is asked for.
"""

import linecache
import re
from collections import defaultdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeAlias

from harness.core.records.allocations import Allocations, CodePlace, Held

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memray import AllocationRecord

Frame: TypeAlias = tuple[str, str, int]
"""Function, file and line."""
ONNX_RUNTIME = "onnxruntime"
LIBRARIES = (ONNX_RUNTIME, "numpy")
"""Packages that take memory for those that call them."""
_INSTALLED = re.compile(r".*/(?:site|dist)-packages/")
_STANDARD = re.compile(r".*/lib/python3\.\d+/(?!(?:site|dist)-packages/)", re.IGNORECASE)


def read_allocations(loaded: Path, spoken: Path) -> Allocations:
    """What is held at the high-water mark of the requests in `spoken`, on top of what the start in `loaded` left."""
    from memray import FileReader

    with FileReader(loaded) as start, FileReader(spoken) as requests:
        left = start.get_leaked_allocation_records(merge_threads=True)
        highest = requests.get_high_watermark_allocation_records(merge_threads=True)
        peak = _by_place((*left, *highest))
        kept = _by_place(requests.get_leaked_allocation_records(merge_threads=True))
    return Allocations(peak=peak, kept=kept)


def _by_place(records: "Iterable[AllocationRecord]") -> dict[CodePlace, Held]:
    found: defaultdict[CodePlace, Held] = defaultdict(Held)
    for each in records:
        place = place_of(each.stack_trace())
        size, blocks = found[place]
        found[place] = Held(size + each.size, blocks + each.n_allocations)
    return dict(found)


def place_of(frames: list[Frame]) -> CodePlace:
    """The innermost line outside of libraries, with the library that it calls; `frames` from the innermost one."""
    if not frames:
        return CodePlace()
    number = next((number for number, (_, file, _) in enumerate(frames) if not _is_library(file)), 0)
    function, file, line = frames[number]
    return CodePlace(
        file=_relative(file),
        function=function,
        text=linecache.getline(file, line).strip(),
        within=_within(frames[:number]),
        line=line,
    )


def _is_library(file: str) -> bool:
    return file.startswith("<") or bool(_STANDARD.match(file)) or _package(file) in LIBRARIES


def _package(file: str) -> str:
    return PurePath(_relative(file)).parts[0]


def _within(skipped: list[Frame]) -> str:
    """What the line outside of libraries calls; `skipped` are the frames inside of it."""
    if not skipped:
        return ""
    if any(_package(file) == ONNX_RUNTIME for _, file, _ in skipped):
        return "ONNX Runtime"
    function, file, _ = skipped[-1]
    return "import" if file.startswith("<frozen importlib") else f"{PurePath(_package(file)).stem} {function}"


def _relative(file: str) -> str:
    """The path from the folder of the package on."""
    for pattern in (_INSTALLED, _STANDARD):
        if found := pattern.match(file):
            return file[found.end() :]
    root = Path(file).parent
    if not root.is_absolute():  # no file, such as <string>
        return file
    while (root / "__init__.py").is_file():
        root = root.parent
    return Path(file).relative_to(root).as_posix()
