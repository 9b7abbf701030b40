"""A server's own statistics: the numbers of the JSON at its /status and similar paths."""

import json
import math
from collections.abc import Iterator

from harness.core.records.repetition import ServerFigures
from harness.engines.http.exchange import Answer

STATUS = "/status"
MOST = 200
"""The most numbers that are kept: some servers list every request."""


def read_figures(answer: Answer, *, path: str = STATUS) -> ServerFigures:
    """The numbers of an answer at `path`, in their order. Their names begin with the path unless it is /status."""
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
    """(Name, number) of the leaves of objects. Lists are left out, because they hold single events."""
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
