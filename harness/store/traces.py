"""ONNX Runtime's traces of runs: gzip-compressed JSON in Chrome's trace format, and the table made of them.

`<folder>/<run id>/<scenario>-<digest>.<side>.launch-<number>.json.gz`, launches counted from 1; the folder is `traces/`
beside the results database. `<folder>/<run id>/profile.json` holds the table (`ProfileSheet`). Both are kept as long as
the run's raw repetitions.
"""

import gzip
import hashlib
import shutil
from pathlib import Path

import msgspec

from harness.core.files import write_atomically
from harness.core.names import slug
from harness.core.record_files import read_record
from harness.core.records.profile import ProfileSheet

SHEET = "profile.json"
_READABLE = 100


def trace_name(scenario_id: str, *, side: str, launch: int, session: int = 0) -> str:
    """The name of the file of a trace. `side` is "" for a scenario that was profiled alone. Counted from 0."""
    digest = hashlib.sha256(scenario_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    parts = (f"{slug(scenario_id.replace('/', '--'))[:_READABLE]}-{digest}", side, f"launch-{launch + 1}")
    more = f".session-{session + 1}" if session else ""
    return f"{'.'.join(filter(None, parts))}{more}.json.gz"


def write_trace(folder: Path, run_id: str, name: str, trace: Path) -> int:
    """Keep a compressed copy of a trace and return its size in bytes. Raises OSError."""
    place = folder / run_id / name
    # Without a time stamp in it, the same trace gives the same bytes.
    write_atomically(place, gzip.compress(trace.read_bytes(), compresslevel=6, mtime=0))
    return place.stat().st_size


def write_sheet(folder: Path, run_id: str, sheet: ProfileSheet) -> None:
    """Keep the table of a run's profiles beside its traces. Raises OSError."""
    write_atomically(folder / run_id / SHEET, msgspec.json.encode(sheet))


def read_sheet(folder: Path, run_id: str) -> ProfileSheet | None:
    """The table of a run's profiles; None if none was kept, or none that this version can read."""
    return read_record(folder / run_id / SHEET, ProfileSheet) if run_id else None


def delete_traces(folder: Path, run_id: str) -> None:
    """Delete the traces of a run, if there are any."""
    if run_id:
        shutil.rmtree(folder / run_id, ignore_errors=True)
