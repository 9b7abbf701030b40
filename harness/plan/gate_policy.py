"""The user's policy for the gate: tolerances, the metrics that gate, and waivers.

`[tool.kokoro-bench.gate]` holds three configuration keys, which may also stand in the section itself. Each
`[[tool.kokoro-bench.waiver]]` excuses a regression of one metric until a day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from itertools import combinations
from typing import TYPE_CHECKING, Any

from harness.core.errors import ConfigError, UsageError, nearest
from harness.plan.parsing import Reader, as_compared_metric, as_text, read_table
from harness.plan.patterns import as_pattern

if TYPE_CHECKING:
    from harness.core.records.verdict import Waiver

GATE_KEYS = {"tolerance": "tolerance", "metrics": "gate-metrics", "require": "require"}
"""Key of `[tool.kokoro-bench.gate]` → the configuration key that it sets."""


def read_gate(table: Any, section: Mapping[str, Any], *, where: str) -> dict[str, Any]:  # noqa: ANN401 - from TOML
    """Configuration key → its value in the table of the gate. ConfigError if `section` sets the same key."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"must be a table, not {table!r}", where=where, remedy='for example metrics = ["latency"]')
    for name in table:
        if name not in GATE_KEYS:
            raise ConfigError(f"unknown key {name!r}", where=where, remedy=nearest(name, tuple(GATE_KEYS)))
        if GATE_KEYS[name] in section:
            raise ConfigError(
                f"{name} is set twice: here and as {GATE_KEYS[name]} in [tool.kokoro-bench]",
                where=where,
                remedy="remove one of them",
            )
    return {GATE_KEYS[name]: value for name, value in table.items()}


def _as_words(value: Any) -> str:  # noqa: ANN401 - from TOML
    text = " ".join(as_text(value).split())
    if not text:
        raise ValueError("is empty: it is shown wherever the regression is")
    return text


def _as_day(value: Any) -> str:  # noqa: ANN401 - from TOML
    """A day as YYYY-MM-DD, of a TOML date or of text."""
    try:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        return date.fromisoformat(as_text(value).strip()).isoformat()
    except (TypeError, ValueError):
        shown = value.isoformat() if isinstance(value, datetime) else repr(value)
        raise ValueError(f"must be a day such as 2026-12-31, not {shown}") from None


_WAIVER: Mapping[str, tuple[Reader, str]] = {
    "scenarios": (as_pattern, '"*/whole/chars-12/*"'),
    "metric": (as_compared_metric, '"latency"'),
    "reason": (_as_words, '"the new voice needs a longer style vector"'),
    "until": (_as_day, "2026-12-31"),
}
"""Key of a waiver → its reader, and an example. All of them are needed."""


def read_waivers(tables: Any, *, where: str) -> "tuple[Waiver, ...]":  # noqa: ANN401 - from TOML
    """The waivers. ConfigError names the table by its number; UsageError names two, one of which includes the other.

    Other waivers overlap only if a scenario matches both, which `check_overlap` tells.
    """
    if not isinstance(tables, Sequence) or isinstance(tables, str):
        raise ConfigError("must be tables", where=where, remedy=f"write [[{where.rpartition('[')[2].rstrip(']')}]]")
    found = tuple(_read_waiver(table, where=f"{where} number {n}") for n, table in enumerate(tables, 1))
    for one, other in combinations(found, 2):
        # A pattern that matches the other one's text matches whatever the other one does.
        nested = fnmatchcase(one.scenarios, other.scenarios) or fnmatchcase(other.scenarios, one.scenarios)
        if one.metric == other.metric and nested:
            raise _overlap(one, other, where=where)
    return found


def check_overlap(waivers: "Sequence[Waiver]", scenario_ids: Iterable[str]) -> None:
    """Raise UsageError if two waivers of a metric match the same scenario."""
    for scenario_id in scenario_ids:
        matching = [waiver for waiver in waivers if fnmatchcase(scenario_id, waiver.scenarios)]
        for one, other in combinations(matching, 2):
            if one.metric == other.metric:
                raise _overlap(one, other, where=scenario_id)


def _overlap(one: "Waiver", other: "Waiver", *, where: str) -> UsageError:
    named = [f"{each.scenarios!r} until {each.until} ({each.reason})" for each in (one, other)]
    return UsageError(
        f"two waivers of {one.metric} overlap: {' and '.join(named)}", where=where, remedy="join them, or narrow one"
    )


def _read_waiver(table: Any, *, where: str) -> "Waiver":  # noqa: ANN401 - from TOML
    if not isinstance(table, Mapping):
        raise ConfigError(f"must be a table, not {table!r}", where=where, remedy='metric = "latency", …')
    values = read_table(table, _WAIVER, where=where)
    for name, (_, example) in _WAIVER.items():
        if name not in values:
            raise ConfigError(f"{name} is missing", where=where, remedy=f"{name} = {example}")
    from harness.core.records.verdict import Waiver

    return Waiver(**values)


def waiver_of(waivers: "Sequence[Waiver]", *, scenario_id: str, metric: str, at: float) -> "Waiver | None":
    """The waiver of a metric of a scenario, if there is one, expired or not at the time `at` (s since the epoch, UTC).

    It holds to the end of its last day.
    """
    for waiver in waivers:
        if waiver.metric == metric and fnmatchcase(scenario_id, waiver.scenarios):
            return replace(waiver, expired=waiver.until < datetime.fromtimestamp(at, tz=UTC).date().isoformat())
    return None
