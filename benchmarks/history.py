"""The harness's own history: every call of `python -m benchmarks` with its figures, as a file and as a page.

The file has a call a line, with its time, machine, revision and figures. The page draws each figure over the calls on
the machine of the newest one.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from markupsafe import Markup

from benchmarks.kept_figures import Figure, shortly
from harness.schedule.triggers import moment
from reports.charts.timelines import Event, trend
from reports.pages.rendering import render, write
from reports.text.format import day

FILE: Final = Path(".kokoro-bench") / "perf.jsonl"
PAGE: Final = Path("reports") / "site" / "perf.html"
BUSY: Final = 0.25
"""A load for each CPU above which the machine was not left to the benchmarks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The figures of one call. `at` is in seconds since the epoch; `revision` is "" outside a repository."""

    at: float
    machine: str
    python: str
    revision: str
    load: float
    """The machine's load for each CPU when the call began, over the minute before it."""
    figures: dict[str, list[Figure]]
    """Name of a benchmark → its figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure over all calls, as the page shows it."""

    name: str
    now: str
    wanted: str
    met: bool
    peers: str
    chart: Markup
    first: str
    last: str


def add(file: Path, call: Call) -> None:
    """Append a call to the file, as a line of JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(call) + b"\n")


def read(file: Path) -> list[Call]:
    """Every call in the file, oldest first. A line that a kill cut short is left out and reported."""
    found, decoder = [], msgspec.json.Decoder(Call)
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            found.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            sys.stderr.write(f"{file}: line {number} is not whole and is left out: {error}\n")
    return found


def write_page(page: Path, calls: Sequence[Call]) -> None:
    """Write the page of the calls on the machine of the newest one."""
    newest = calls[-1]
    ours = [call for call in calls if call.machine == newest.machine]
    names = dict.fromkeys((benchmark, figure.name) for call in ours for benchmark, figures in call.figures.items()
                          for figure in figures)  # fmt: skip
    parts: dict[str, list[Line]] = {}
    for benchmark, name in names:
        parts.setdefault(benchmark, []).append(_line(ours, benchmark, name))
    busy = f"; the newest began on a busy machine (load {newest.load:.1f} for each CPU)" if newest.load > BUSY else ""
    span = f"{len(ours)} calls, {day(ours[0].at)} to {day(newest.at)}" if len(ours) > 1 else day(newest.at)
    page.parent.mkdir(parents=True, exist_ok=True)
    write(page, render("perf.html", site=None, machine=newest.machine, span=span + busy, parts=parts))


def _line(calls: Sequence[Call], benchmark: str, name: str) -> Line:
    """One figure over the calls that have it."""
    found = [(call, figure) for call in calls for figure in call.figures.get(benchmark, ()) if figure.name == name]
    newest = found[-1][1]
    changes = [
        Event(index=index, what=f"revision {call.revision[:12]}", css="subject")
        for index, (call, _) in enumerate(found)
        if index and call.revision != found[index - 1][0].revision
    ]
    finding = f"{name}: {len(found)} values, now {newest.shown}"
    chart = trend([figure.value for _, figure in found], label=shortly, events=changes, finding=finding)
    return Line(
        name=name,
        now=newest.shown,
        wanted=newest.wanted,
        met=newest.met,
        peers=", ".join(f"{peer} {shortly(value)} {newest.unit}" for peer, value in newest.peers),
        chart=chart,
        first=moment(found[0][0].at),
        last=moment(found[-1][0].at),
    )
