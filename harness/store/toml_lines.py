"""Finds the line of a field in a TOML text that has been parsed, for error messages."""

import re
import tomllib
from dataclasses import dataclass

_KEY = re.compile(r"""\s*(?P<key>"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*=""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A field: `arm` is the index of its `[[arms]]` table, None for the top; `table` the names of the tables in it."""

    arm: int | None = None
    table: tuple[str, ...] = ()
    key: str = ""


def line_of(text: str, place: Place) -> int:
    """The line (from 1) of the field, or of the table's header for a place without a key; 0 if it is not found."""
    arm: int | None = None
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("["):
            path, is_array = _header(line)
            if is_array and path == ("arms",):
                arm, table = (0 if arm is None else arm + 1), ()
            else:
                table = path[1:] if path[:1] == ("arms",) else path
            if not place.key and (arm, table) == (place.arm, place.table):
                return number
        elif place.key and (arm, table) == (place.arm, place.table):
            found = _KEY.match(line)
            if found and _unquoted(found["key"]) == place.key:
                return number
    return 0


def _header(line: str) -> tuple[tuple[str, ...], bool]:
    """The path of a table's header, and whether it is a list's."""
    try:
        plain = tomllib.loads(line)
    except tomllib.TOMLDecodeError:  # a line of a list that begins with a bracket
        return ("",), False
    path: list[str] = []
    is_array = False
    while plain:
        name, inner = next(iter(plain.items()))
        path.append(name)
        is_array = isinstance(inner, list)
        plain = inner[0] if isinstance(inner, list) else inner
    return tuple(path), is_array


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    return next(iter(tomllib.loads(f"{key} = 0")))
