"""Findings of the doctor."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How much a finding matters to a measurement."""

    OK = "ok"
    WARN = "warn"
    """Values become slower, noisier or less complete, but remain valid."""
    BAD = "bad"
    """Nothing valid can be measured until this is fixed."""
    ABSENT = "absent"
    """Not present and not needed; `what` says why."""
    UNKNOWN = "unknown"
    """The platform does not report it; `what` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`what` describes the state of `topic`. `remedy` says what to do, or is ""."""

    topic: str
    status: Status
    what: str
    remedy: str = ""


def ok(topic: str, what: str, *, remedy: str = "") -> Finding:
    """A finding without a problem; its remedy is a hint."""
    return Finding(topic=topic, status=Status.OK, what=what, remedy=remedy)


def warn(topic: str, what: str, *, remedy: str) -> Finding:
    """Something that disturbs measurements."""
    return Finding(topic=topic, status=Status.WARN, what=what, remedy=remedy)


def bad(topic: str, what: str, *, remedy: str) -> Finding:
    """Something that prevents valid measurements."""
    return Finding(topic=topic, status=Status.BAD, what=what, remedy=remedy)


def absent(topic: str, why: str) -> Finding:
    """Something that is not present, which is neither good nor bad."""
    return Finding(topic=topic, status=Status.ABSENT, what=why)


def unknown(topic: str, why: str) -> Finding:
    """Something that the platform does not report; `why` may be a text that begins with "unknown: "."""
    return Finding(topic=topic, status=Status.UNKNOWN, what=why.removeprefix("unknown: "))
