"""The figures that benchmarks find: kept in a file, an object a line, and shown in one table with their limits."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

VARIABLE: Final = "PERF_FIGURES"
"""The environment variable with the file to which `keep` adds a figure. Without it, figures are not kept.

Its prefix is not that of the configuration, whose unknown variables the commands refuse.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A value in `unit`, with its 95 % interval if there is one. It should be at most `most` and at least `least`.

    `peers` are what other tools need for the same, in the same unit.
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    most: float | None = None
    least: float | None = None
    peers: tuple[tuple[str, float], ...] = ()

    @property
    def wanted(self) -> str:
        """The limits in words; "" if there is none."""
        limits = (("at most", self.most), ("at least", self.least))
        return ", ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)

    @property
    def met(self) -> bool:
        too_much = self.most is not None and self.value > self.most
        too_little = self.least is not None and self.value < self.least
        return not (too_much or too_little)

    @property
    def shown(self) -> str:
        """The value with its unit and interval."""
        text = f"{shortly(self.value)} {self.unit}".rstrip()
        return text if self.low is None or self.high is None else f"{text} ({self.low:.4g} to {self.high:.4g})"


def shortly(value: float) -> str:
    """A value with four digits at most, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def keep(
    name: str,
    value: float,
    unit: str,
    *,
    interval: tuple[float, float] | None = None,
    most: float | None = None,
    least: float | None = None,
    peers: Sequence[tuple[str, float]] = (),
) -> None:
    """Add a figure to the file of `VARIABLE`, if there is one."""
    file = os.environ.get(VARIABLE, "")
    if not file:
        return
    low, high = interval or (None, None)
    figure = Figure(name=name, value=value, unit=unit, low=low, high=high, most=most, least=least, peers=tuple(peers))
    with Path(file).open("ab") as lines:
        lines.write(msgspec.json.encode(figure) + b"\n")


def kept(file: Path) -> list[Figure]:
    """The figures in a file, oldest first."""
    return msgspec.json.Decoder(Figure).decode_lines(file.read_bytes()) if file.exists() else []
