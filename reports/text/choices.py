"""What a run was narrowed to, for people: its models and every choice that is not the default, without option names."""

import re
from collections.abc import Callable, Mapping, Sequence

from harness.core.comma_lists import listed, split_list
from reports.text.format import count

MOST = 3
"""Items of one choice that are named; what is beyond is counted."""
LONGEST_TEXT = 40
"""Characters of a text of the user's own that are shown."""

_OPTION = re.compile(r" (?=(?:--[a-z][a-z-]*|-[km]) )")
_MODEL = re.compile(r"\.(?:onnx|ort)$", re.IGNORECASE)


def chosen(selection: str) -> str:
    """The parts of a stored selection, such as `quick --model a.onnx,b.onnx --threads 1`: "quick · a, b · 1 thread".

    What is no option, as of a duel, is left as it is.
    """
    first, *options = _OPTION.split(selection)
    return " · ".join([first, *map(_choice, options)] if first else map(_choice, options))


def _choice(option: str) -> str:
    name, _, value = option.partition(" ")
    named = _NAMED.get(name)
    return named(split_list(value)) if named else f"{name} {value}"


def _items(items: Sequence[str]) -> str:
    if len(items) <= MOST:
        return ", ".join(items)
    return f"{', '.join(items[:MOST])} and {len(items) - MOST} more"


def _models(items: Sequence[str]) -> str:
    """Files by their stems or the names that they were given, as tables have them."""
    return _items([_MODEL.sub("", item.partition("=")[0] if _MODEL.search(item) else item) for item in items])


def _threads(items: Sequence[str]) -> str:
    known = [item for item in items if item.isdecimal()]
    return count(int(known[0]), "thread") if len(known) == len(items) == 1 else f"{listed(list(items))} threads"


def _text(items: Sequence[str]) -> str:
    text = ", ".join(items)
    return f"“{text[:LONGEST_TEXT].rstrip()}…”" if len(text) > LONGEST_TEXT else f"“{text}”"


_NAMED: Mapping[str, Callable[[Sequence[str]], str]] = {
    "--model": _models,
    "--threads": _threads,
    "--say": _text,
    "--runtime": lambda items: f"runtime {_items(items)}",
    **dict.fromkeys(
        (
            "--engine",
            "--url",
            "--provider",
            "--provider-options",
            "--session-options",
            "--text",
            "--voice",
            "--language",
        ),
        _items,
    ),
}
