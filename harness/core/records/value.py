"""A value that may be unknown, and then says why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One figure in its metric's unit, or None with the reason: never 0 for "no data", never NaN."""

    value: float | None
    reason: str = ""

    @property
    def known(self) -> bool:
        return self.value is not None


def known(value: float) -> Reading:
    """A reading whose value is known; `unknown` makes the other kind."""
    return Reading(value=value)


def unknown(reason: str) -> Reading:
    """The absence of a figure, with its reason."""
    return Reading(value=None, reason=reason)
