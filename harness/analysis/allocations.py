"""Which lines allocate what peak memory grew by, from launches of both arms under memray."""

from harness.analysis.arena import MB
from harness.core.quantities import Figure
from harness.core.records.allocations import AllocationPair, CodePlace, Held
from harness.core.records.suspect import Suspect, SuspectKind

LEAST_SHARE = 0.05
"""A place that grew by a smaller part of the growth is no suspect."""
MOST = 3
"""The strongest are enough."""
NONE = "no allocation stands out"


def allocation_suspects(pair: AllocationPair, growth: float) -> list[Suspect]:
    """The places that grew most, the largest first; that none did, or why nothing is known.

    `growth` is that of the measured peak in bytes.
    """
    if pair.reason:
        return [Suspect(SuspectKind.NOTHING, f"allocations: not shown ({pair.reason[:200]})")]
    ours, theirs = pair.candidate.peak, pair.reference.peak
    # The candidate's places first: they have its line numbers.
    grown = {place: ours.get(place, Held()) - theirs.get(place, Held()) for place in {**ours, **theirs}}
    whole = sum(each.size for each in grown.values())
    least = LEAST_SHARE * max(whole, growth)
    named = sorted(
        (place for place in grown if grown[place].size >= max(1.0, least)), key=lambda each: -grown[each].size
    )
    if whole <= 0 or not named:
        return [Suspect(SuspectKind.NOTHING, NONE)]
    return [
        Suspect(
            SuspectKind.ALLOCATION,
            f"allocation {place}: {_mb(grown[place].size)}, {Figure(100 * grown[place].size / whole):.0f} % of "
            f"{_mb(whole)} in {pair.requests} requests{_kept(place, pair)}",
        )
        for place in named[:MOST]
    ]


def _kept(place: CodePlace, pair: AllocationPair) -> str:
    kept = pair.candidate.kept.get(place, Held()) - pair.reference.kept.get(place, Held())
    once = pair.candidate.peak[place].size - kept.size if place in pair.candidate.peak else 0
    return ", kept by each" if kept.blocks >= pair.requests and kept.size >= once else ""


def _mb(size: float) -> str:
    return f"{Figure(size * MB):+.1f} MB"
