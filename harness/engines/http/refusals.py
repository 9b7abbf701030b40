"""What a server says when it refuses a request: which dialect it wants, or which fields it does not know.

Servers refuse in many words. This module reads FastAPI's and OpenAI's structures, and sentences in JSON or in plain
text that name the field behind "unknown field" or the like. What it cannot read is quoted.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from harness.engines.http.dialects import Dialect, wanted_dialect
from harness.engines.http.errors import EndpointFault, Fault, excerpt, status_fault

REFUSALS = (400, 422)
"""Statuses with which servers refuse what they do not understand."""
_UNKNOWN = r"(?:unknown|unrecogni[sz]ed|unexpected|unsupported|extra|additional)"
_FIELD = r"(?:field|param|argument|property|properties|key|attribute|input)"
_UNKNOWN_FIELD = re.compile(
    # As in: unknown field `stream`; Additional properties are not allowed ('stream' was unexpected).
    rf"{_UNKNOWN}\s+(?:request\s+|keyword\s+|body\s+|json\s+)?{_FIELD}"
    # As in: property stream is not allowed.
    rf"|{_FIELD}\w*\W+\w+\W+(?:is|was)\s+(?:unknown|unexpected|not\s+(?:allowed|permitted|known|recogni[sz]ed))",
    re.IGNORECASE,
)
_LISTED = re.compile(r"\b(?:one of|expected|(?:known|allowed|valid|supported)\s+(?:are|fields|keys))\b", re.IGNORECASE)
"""Where a sentence goes on to the fields that are known."""
_SENTENCES = ("msg", "message", "detail", "error", "title", "description", "reason")
"""Where an answer holds sentences of its own; elsewhere it may repeat the request."""


def refusal(
    status: int,
    body: bytes,
    *,
    dialect: Dialect | None,
    sent: Collection[str],
    left_out: Sequence[str] = (),
    retry_after: str = "",
) -> EndpointFault:
    """The fault of an answer that is none, with what to do about it where the answer tells.

    `sent` are the fields of the request, `left_out` those that were left out of it already.
    """
    if status in REFUSALS and dialect is not None:
        wanted = wanted_dialect(body)
        if wanted is not None and wanted is not dialect:
            return EndpointFault(
                Fault.DIALECT,
                f"the server rejects the dialect {dialect.name} ({status}, it misses {wanted.text_field!r}): "
                f"try dialect={wanted.name}",
                status=status,
            )
        if unknown := unknown_fields(body, [name for name in sent if name != dialect.text_field]):
            names = " and ".join(repr(name) for name in unknown)
            return status_fault(
                status,
                f"the server does not know the field{'s' * (len(unknown) > 1)} {names} ({status}): "
                f"try --leave-out {','.join((*left_out, *unknown))}",
            )
    later = f", Retry-After: {retry_after}" if retry_after else ""
    return status_fault(status, f"the server answered {status}{later}: {excerpt(body)}")


def unknown_fields(body: bytes, sent: Collection[str]) -> tuple[str, ...]:
    """The fields among `sent` that a refusal calls unknown."""
    try:
        named = set(_named(json.loads(body)))
    except ValueError:
        named = set(_words(body.decode("utf-8", errors="replace")))
    except RecursionError:
        return ()
    return tuple(name for name in sent if name in named)


def _named(answer: object) -> Iterator[str]:
    """Every name that some part of an answer calls unknown."""
    if isinstance(answer, list):
        for each in answer:
            yield from _named(each)
    if not isinstance(answer, Mapping):
        return
    kind = f"{answer.get('type')} {answer.get('code')} {answer.get('msg')} {answer.get('message')}"
    if _UNKNOWN_FIELD.search(kind.replace("_", " ")) or "extra_forbidden" in kind or "value_error.extra" in kind:
        # FastAPI's place of an error and OpenAI's parameter.
        place = answer.get("loc")
        yield str(place[-1] if isinstance(place, list) and place else answer.get("param"))
    for name, value in answer.items():
        if name in _SENTENCES and isinstance(value, str):
            yield from _words(value)
        elif name in (*_SENTENCES, "errors", "details"):
            yield from _named(value)
        elif isinstance(value, list) and any(_UNKNOWN_FIELD.search(str(each)) for each in value):
            yield str(name)  # as in {"stream": ["Unknown field."]}


def _words(sentence: str) -> Iterator[str]:
    """The words of a sentence that calls a field unknown, up to a list of known ones; those in quotes if there are."""
    found = _UNKNOWN_FIELD.search(sentence)
    if found:
        listed = _LISTED.search(sentence, found.end())
        fields = sentence[found.start() : listed.start() if listed else None]
        yield from re.findall(r"['\"`](\w+)['\"`]", fields) or re.findall(r"\w+", fields)
