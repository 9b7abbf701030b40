"""One thing that the doctor has to say."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How much a finding matters to a measurement."""

    OK = "ok"
    WARN = "warn"
    """Figures become slower, noisier or less complete, and remain valid."""
    BAD = "bad"
    """Nothing valid can be measured until this is mended."""
    ABSENT = "absent"
    """Not here, and nothing here calls for it; `what` says why."""
    UNKNOWN = "unknown"
    """The platform does not tell; `what` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`what` is so, about `topic`; `remedy` is what to do, "" where nothing needs doing or can be done."""

    topic: str
    status: Status
    what: str
    remedy: str = ""


def ok(topic: str, what: str, *, remedy: str = "") -> Finding:
    """Nothing to mend; a remedy is a hint."""
    return Finding(topic=topic, status=Status.OK, what=what, remedy=remedy)


def warn(topic: str, what: str, *, remedy: str) -> Finding:
    """Something that disturbs."""
    return Finding(topic=topic, status=Status.WARN, what=what, remedy=remedy)


def bad(topic: str, what: str, *, remedy: str) -> Finding:
    """Something that prevents."""
    return Finding(topic=topic, status=Status.BAD, what=what, remedy=remedy)


def absent(topic: str, why: str) -> Finding:
    """Something that is not here, which is no fault and no pass."""
    return Finding(topic=topic, status=Status.ABSENT, what=why)


def unknown(topic: str, why: str) -> Finding:
    """Something that the platform does not tell; `why` may be a text that begins with "unknown: "."""
    return Finding(topic=topic, status=Status.UNKNOWN, what=why.removeprefix("unknown: "))
