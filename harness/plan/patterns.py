"""Patterns of scenario ids, as targets, tolerances and waivers name them: `*`, `?` and `[…]` of `fnmatch`."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, TypeVar

Setting = TypeVar("Setting")

_SET_OR_CHARACTER = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)


def as_pattern(value: Any) -> str:  # noqa: ANN401 - from TOML, the environment or an option
    """A pattern that can match a scenario id. ValueError or TypeError with words that follow a key's name."""
    if not isinstance(value, str):
        raise TypeError(f"must be a pattern of scenario ids, not {value!r}")
    if not value.strip():
        raise ValueError("must be a pattern of scenario ids, not empty")
    if "[" in _SET_OR_CHARACTER.findall(value):
        raise ValueError(f"has a [ without its ]: {value!r}")
    return value


def of_scenario(settings: Iterable[tuple[str, str, Setting]], scenario_id: str) -> dict[str, Setting]:
    """Metric → its setting for one scenario, of (pattern, metric, setting). The last pattern that matches wins."""
    return {name: setting for pattern, name, setting in settings if fnmatchcase(scenario_id, pattern)}
