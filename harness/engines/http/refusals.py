"""Reads the refusal of a request: the dialect that the server wants, or the fields that it does not know.

It reads the structures of FastAPI and OpenAI, and sentences in JSON or plain text that name a field after "unknown
field" or similar words. Any other refusal is quoted.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from harness.engines.http.dialects import Dialect, wanted_dialect
from harness.engines.http.errors import EndpointFault, Fault, excerpt, status_fault

REFUSALS = (400, 422)
"""The statuses of a request that the server does not understand."""
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
"""The words before a list of the known fields."""
_SENTENCES = ("msg", "message", "detail", "error", "title", "description", "reason")
"""The fields of an answer with the server's own sentences; others may repeat the request."""


def refusal(
    status: int,
    body: bytes,
    *,
    dialect: Dialect | None,
    sent: Collection[str],
    left_out: Sequence[str] = (),
    retry_after: str = "",
) -> EndpointFault:
    """The fault of a refused request, with the remedy if the answer shows it.

    `sent` are the fields of the request, `left_out` those that it leaves out already.
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
    """The fields among `sent` that a refusal reports as unknown."""
    try:
        named = set(_named(json.loads(body)))
    except ValueError:
        named = set(_words(body.decode("utf-8", errors="replace")))
    except RecursionError:
        return ()
    return tuple(name for name in sent if name in named)


def _named(answer: object) -> Iterator[str]:
    """Every name that a part of an answer reports as unknown."""
    if isinstance(answer, list):
        for each in answer:
            yield from _named(each)
    if not isinstance(answer, Mapping):
        return
    kind = f"{answer.get('type')} {answer.get('code')} {answer.get('msg')} {answer.get('message')}"
    if _UNKNOWN_FIELD.search(kind.replace("_", " ")) or "extra_forbidden" in kind or "value_error.extra" in kind:
        # FastAPI names the field at the end of "loc", OpenAI in "param".
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
    """The words of a sentence about an unknown field, up to a list of known ones; only the quoted ones, if any."""
    found = _UNKNOWN_FIELD.search(sentence)
    if found:
        listed = _LISTED.search(sentence, found.end())
        fields = sentence[found.start() : listed.start() if listed else None]
        yield from re.findall(r"['\"`](\w+)['\"`]", fields) or re.findall(r"\w+", fields)
