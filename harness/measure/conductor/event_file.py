"""Events as JSON lines in a file, for whoever watches a run from another process."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.codec import CodecError, decode
from harness.measure.conductor.events import Begun, BlockDone, Event, EventHandler, Launched, Progress, ScenarioLost

EVENTS_VARIABLE = "KOKORO_BENCH_EVENTS"
"""Names the file that a run appends its events to."""

APART_S = 0.5
"""Between two lines of progress: more often nobody looks, and each takes time from the engine."""

_TAIL_BYTES = 65_536


class EventFile:
    """A listener that appends. A disk that refuses costs the lines, not the run."""

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall
        self._progress_at = float("-inf")
        self._refused = False

    def __call__(self, event: Event) -> None:
        """Append what a watcher wants of `event`."""
        said = _line(event)
        now = self._wall()
        if said is None or self._refused:
            return
        if isinstance(event, Progress):
            if abs(now - self._progress_at) < APART_S:
                return
            self._progress_at = now
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"at": now, **said}) + "\n")
        except OSError:
            self._refused = True


def listeners_from(environment: Mapping[str, str] = os.environ) -> list[EventHandler]:
    """The listener that the environment asks for, if it asks for one."""
    path = environment.get(EVENTS_VARIABLE)
    return [EventFile(Path(path))] if path and path.strip() else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How far a run has come, as its file tells it. `run_id` is "" before it has begun to be stored."""

    run_id: str = ""
    doing: str = "starting"
    share: float = 0.0
    remaining_s: float | None = None
    launches: int = 0
    blocks: int = 0
    lost: int = 0
    at: float = 0.0


def read_events(path: Path) -> Watched:
    """The state after the last whole line; an empty one where there is no file yet."""
    found: dict[str, Any] = {}
    lost = 0
    for line in _ends(path):
        said = {name: value for name, value in line.items() if name in Watched.__dataclass_fields__}
        with suppress(CodecError):  # a line that no run has written says nothing
            decode(Watched, said)
            found |= said
            lost += line.get("event") == "lost"
    return decode(Watched, {**found, "lost": lost})


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


def _ends(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of the file's beginning and end: a long run's middle says nothing that its end does not."""
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
            said = json.loads(line)
        except ValueError:
            continue  # half a line, where head and tail meet or the run is writing just now
        if isinstance(said, dict):
            yield said
