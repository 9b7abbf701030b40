"""Lists that are written as one text with commas, for options and for sentences."""

import re
from collections.abc import Iterable, Sequence

_COMMA = re.compile(r"(?<!\\),")


def split_list(text: str) -> list[str]:
    r"""The items of a text as `join_list` writes it, without surrounding spaces. `\,` is a comma within an item."""
    return [part.replace("\\,", ",").strip() for part in _COMMA.split(text)]


def join_list(items: Iterable[str]) -> str:
    """The text that `split_list` reads as these items."""
    return ",".join(item.replace(",", "\\,") for item in items)


def listed(items: Sequence[str]) -> str:
    """Items in a sentence: "a, b and c"; "" for none."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
