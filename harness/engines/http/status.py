"""What a server says of itself: every number of the JSON at its /status and the like, by its path."""

import json
import math
from collections.abc import Iterator

from harness.core.records.repetition import ServerFigures
from harness.engines.http.exchange import Answer

STATUS = "/status"
MOST = 200
"""Numbers that are kept: a server that lists every request says nothing of itself."""


def read_figures(answer: Answer, *, path: str = STATUS) -> ServerFigures:
    """The numbers of an answer at `path`, in its own order; of another than /status they begin with its name."""
    if answer.status != 200:
        return ServerFigures(reason=f"the server has no {path}: it answers {answer.status}")
    try:
        answered = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ServerFigures(reason=f"{path} holds no JSON")
    found = dict(_numbers(answered, "" if path == STATUS else path.strip("/")))
    kept = tuple(found.items())[:MOST]
    return ServerFigures(figures=kept, reason="" if kept else f"{path} holds no number")


def _numbers(answered: object, path: str) -> Iterator[tuple[str, float]]:
    """Numbers at the leaves of objects; lists hold single events and are left out."""
    if isinstance(answered, dict):
        for name, value in answered.items():
            yield from _numbers(value, f"{path}.{name}" if path else str(name))
    elif (
        isinstance(answered, int | float)
        and not isinstance(answered, bool)
        and math.isfinite(answered)
        and abs(answered) < 1e300
    ):
        yield path, float(answered)
