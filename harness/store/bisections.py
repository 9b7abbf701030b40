"""Bisections, one JSON file each beside the results: `<folder>/<id>.json`. Their runs are in the results database."""

import contextlib
from pathlib import Path

import msgspec

from harness.core.errors import MeasurementError
from harness.core.files import write_atomically
from harness.core.record_files import read_record
from harness.core.records.bisection import BISECTION_FORMAT, Bisection


def write_bisection(folder: Path, bisection: Bisection) -> None:
    """Keep a bisection in place of what was kept of it before. MeasurementError if it cannot be written."""
    file = folder / f"{bisection.id}.json"
    try:
        write_atomically(file, msgspec.json.format(msgspec.json.encode(bisection)) + b"\n")
    except OSError as error:
        raise MeasurementError(
            f"cannot be written ({error.strerror})", where=str(file), remedy="make the folder of the results writable"
        ) from error


def read_bisections(folder: Path) -> tuple[Bisection, ...]:
    """All bisections of a folder, the last measured first. Files that this version cannot read are left out."""
    found = []
    with contextlib.suppress(OSError):
        found = [read_record(file, Bisection) for file in folder.glob("*.json")]
    known = [each for each in found if each is not None and each.format == BISECTION_FORMAT]
    return tuple(sorted(known, key=lambda each: (-each.updated_at, each.id)))
