"""Answers without audio."""

import json
from collections.abc import Mapping, Sequence

from starlette.responses import Response

LONGEST_NAME = 80
"""The most characters of a request's field name in a refusal."""


def reply(status: int, content: object, *, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer in ASCII, because a request may contain lone surrogates, which UTF-8 cannot encode."""
    return Response(json.dumps(content), status, dict(headers or {}), "application/json")


def refusal(status: int, detail: object, *, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with the reason for a refusal."""
    return reply(status, {"detail": detail}, headers=headers)


def faults(errors: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """FastAPI's faults of a request, without the request's content."""
    found: list[dict[str, object]] = []
    for error in errors:
        place = error.get("loc", ())
        names = [each if isinstance(each, int) else str(each)[:LONGEST_NAME] for each in _sequence(place)]
        found.append({"type": error.get("type"), "loc": names, "msg": error.get("msg")})
    return found


def _sequence(place: object) -> Sequence[object]:
    return place if isinstance(place, list | tuple) else (place,)
