"""Reads the small files in which a system describes itself, as below /proc and /sys."""

from pathlib import Path


def read_file(path: Path) -> str:
    """The text of a file without white space at its ends; "" if the file is missing or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
