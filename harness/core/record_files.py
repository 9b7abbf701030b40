"""Reads records that an earlier command kept as JSON, each in a file of its own."""

from pathlib import Path
from typing import TypeVar

import msgspec

Record = TypeVar("Record")


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """The record in a file; None where there is none, or none that this version can read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return None
