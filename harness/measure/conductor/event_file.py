"""Writes events as JSON lines to a file, so that another process can follow a run."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.codec import CodecError, decode
from harness.core.files import append_whole
from harness.measure.conductor.events import Begun, BlockDone, Event, EventHandler, Launched, Progress, ScenarioLost

EVENTS_VARIABLE = "KOKORO_BENCH_EVENTS"
"""The environment variable that names the file for a run's events."""

PROGRESS_INTERVAL_S = 0.5
"""Seconds between two progress lines. Each line takes CPU time from the engine."""

_TAIL_BYTES = 65_536


class EventFile:
    """An event handler that appends to a file.

    A write error does not stop the run. Lines that could not be written are written with the next one; of several
    progress lines, only the last.
    """

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall
        self._progress_at = float("-inf")
        self._left: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Append `event`, unless it is of no use to a reader or follows the last progress line too soon."""
        fields = _line(event)
        now = self._wall()
        if fields is None:
            return
        if isinstance(event, Progress):
            if abs(now - self._progress_at) < PROGRESS_INTERVAL_S:
                return
            self._progress_at = now
        self._left = [line for line in self._left if line["event"] != "progress"] + [{"at": now, **fields}]
        with suppress(OSError):
            append_whole(self._path, "".join(json.dumps(line) + "\n" for line in self._left).encode())
            self._left = []


def event_handlers_from(environment: Mapping[str, str] = os.environ) -> list[EventHandler]:
    """The event handler that the environment requests, if any."""
    path = named_event_file(environment)
    return [EventFile(path)] if path is not None else []


def named_event_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file that the environment names for a run's events, if any."""
    path = environment.get(EVENTS_VARIABLE, "")
    return Path(path) if path.strip() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """A run's progress as read from its event file. `run_id` is "" until the run is in the store."""

    run_id: str = ""
    doing: str = "starting"
    share: float = 0.0
    remaining_s: float | None = None
    launches: int = 0
    blocks: int = 0
    lost: int = 0
    at: float = 0.0


def read_events(path: Path) -> RunProgress:
    """The state after the last complete line; the default state if there is no file yet."""
    found: dict[str, Any] = {}
    lost = 0
    for line in _first_and_last_lines(path):
        fields = {name: value for name, value in line.items() if name in RunProgress.__dataclass_fields__}
        with suppress(CodecError):  # skip a line that no run has written
            decode(RunProgress, fields)
            found |= fields
            lost += line.get("event") == "lost"
    return decode(RunProgress, {**found, "lost": lost})


def _line(event: Event) -> dict[str, Any] | None:
    if isinstance(event, Begun):
        return {"event": "begun", "run_id": event.run_id}
    if isinstance(event, Progress):
        left = None if event.remaining_s is None else round(event.remaining_s, 1)
        return {"event": "progress", "doing": event.doing, "share": round(event.share, 4), "remaining_s": left}
    if isinstance(event, BlockDone):
        return {"event": "block", "blocks": event.block.block + 1, "launches": event.block.launch + 1}
    if isinstance(event, Launched):
        return {"event": "launched", "arm": event.launch.arm_id, "launches": event.launch.launch + 1}
    if isinstance(event, ScenarioLost):
        return {"event": "lost", "scenario": event.scenario_id, "reason": event.outcome.reason}
    return None


def _first_and_last_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines at the start and end of the file. The middle of a long file adds nothing to its end."""
    try:
        with path.open("rb") as file:
            head = file.read(_TAIL_BYTES)
            size = os.fstat(file.fileno()).st_size
            file.seek(max(len(head), size - _TAIL_BYTES))
            tail = file.read()
    except OSError:
        return
    for line in (head + tail).split(b"\n"):
        try:
            fields = json.loads(line)
        except ValueError:
            continue  # a partial line, where head and tail meet or where the run is writing
        if isinstance(fields, dict):
            yield fields
