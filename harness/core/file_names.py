"""The name of a file without its folder, from text: paths of any system, whether or not the file exists."""

import re

FOLDER = "…"
"""What stands for a folder."""
_FILE = re.compile(r".*\.[A-Za-z0-9_]{1,12}", re.DOTALL)
"""A file's name has an ending."""


def last_part(path: str) -> str:
    """The last part of a path; a text without a separator as it is."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def is_file_name(name: str) -> bool:
    """Whether the last part of a path is a file's name, and not a folder's."""
    return _FILE.fullmatch(name) is not None


def without_folder(text: str) -> str:
    """Of a path the file's name, of a folder `…`; a text without a separator as it is."""
    if "/" not in text and "\\" not in text:
        return text
    last = last_part(text)
    return last if is_file_name(last) else FOLDER
