"""The recordings of a run for its single-file report, up to a maximum size."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.store.audio import KEPT_LAUNCHES, audio_path
from reports.text.format import count, number
from reports.text.naming import Label, Names

MOST = 6_000_000
"""The maximum bytes of recordings in a single file. As text they take a third more, which still fits into a mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """One recording as a data URL."""

    label: Label
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Players:
    """The recordings of a run, in its order. `left_out` is a sentence on missing ones, or ""."""

    players: tuple[Player, ...]
    left_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    scenario: Scenario
    path: Path
    size: int


def players(data: RunData, named: Names, folder: Path, *, most: int = MOST) -> Players | None:
    """The recordings of `data` under `folder`, one per scenario; None if there are none.

    The smallest are taken first, up to `most` bytes together. An unreadable recording counts as left out.
    """
    kept = list(_kept(data, folder))
    carried: dict[str, bytes] = {}
    room = most
    for each in sorted(kept, key=lambda each: each.size):
        content = _read(each) if each.size <= room else b""
        if content:
            carried[each.scenario.id] = content
            room -= len(content)
    if not kept:
        return None
    shown = tuple(
        Player(label=named.of(each.scenario.id), source=_address(carried[each.scenario.id]))
        for each in kept
        if each.scenario.id in carried
    )
    return Players(players=shown, left_out=_left_out(len(kept) - len(shown), len(kept), most))


def _kept(data: RunData, folder: Path) -> Iterator[_Kept]:
    """The recording of the first launch, for each scenario that has one."""
    for scenario in data.run.scenarios:
        for launch in range(KEPT_LAUNCHES):
            path = audio_path(folder, data.run.id, scenario_id=scenario.id, launch=launch)
            try:
                size = path.stat().st_size
            except OSError:
                continue
            yield _Kept(scenario=scenario, path=path, size=size)
            break


def _read(kept: _Kept) -> bytes:
    try:
        return kept.path.read_bytes()
    except OSError:
        return b""


def _address(content: bytes) -> str:
    return f"data:audio/flac;base64,{base64.b64encode(content).decode()}"


def _left_out(missing: int, every: int, most: int) -> str:
    if not missing:
        return ""
    were = "was" if missing == 1 else "were"
    return (
        f"{missing} of {count(every, 'recording')} {were} left out: a file carries up to {number(most / 1e6, 0)} MB of "
        "sound. They are kept as FLAC files beside the results, in the run's folder under `audio`."
    )
