"""Answers that are no audio."""

import json
from collections.abc import Mapping, Sequence

from starlette.responses import Response

LONGEST_NAME = 80
"""Characters of a name that a request brought, in its refusal."""


def reply(status: int, said: object, *, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in ASCII: what a request brought may hold halves of characters, which have no UTF-8."""
    return Response(json.dumps(said), status, dict(headers or {}), "application/json")


def refusal(status: int, detail: object, *, headers: Mapping[str, str] | None = None) -> Response:
    """Why there is no answer."""
    return reply(status, {"detail": detail}, headers=headers)


def faults(errors: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """What FastAPI says of a request, without the request itself, which it would repeat."""
    found: list[dict[str, object]] = []
    for error in errors:
        place = error.get("loc", ())
        names = [each if isinstance(each, int) else str(each)[:LONGEST_NAME] for each in _sequence(place)]
        found.append({"type": error.get("type"), "loc": names, "msg": error.get("msg")})
    return found


def _sequence(place: object) -> Sequence[object]:
    return place if isinstance(place, list | tuple) else (place,)
