"""Bisections, one JSON file each beside the results: `<folder>/<id>.json`. Their runs are in the results database."""

import contextlib
from pathlib import Path

import msgspec

from harness.core.errors import StoreError
from harness.core.files import write_atomically
from harness.core.records.bisection import BISECTION_FORMAT, Bisection


def write_bisection(folder: Path, bisection: Bisection) -> None:
    """Keep a bisection in place of what was kept of it before. StoreError if it cannot be written."""
    file = folder / f"{bisection.id}.json"
    try:
        write_atomically(file, msgspec.json.format(msgspec.json.encode(bisection)) + b"\n")
    except OSError as error:
        raise StoreError(
            f"cannot be written ({error.strerror})", where=str(file), remedy="make the folder of the results writable"
        ) from error


def read_bisections(folder: Path) -> tuple[Bisection, ...]:
    """All bisections of a folder, the last measured first. Files that this version cannot read are left out."""
    found = []
    with contextlib.suppress(OSError):
        for file in sorted(folder.glob("*.json")):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                each = msgspec.json.decode(file.read_bytes(), type=Bisection)
                found += [each] if each.format == BISECTION_FORMAT else []
    return tuple(sorted(found, key=lambda each: -each.updated_at))
