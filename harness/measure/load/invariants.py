"""Checks the invariants of an engine with counters under concurrent requests.

No request starves, equal requests are computed once, and a cache keeps to its bound. A violation becomes the outcome of
the requests that it affects.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from harness.core.records.repetition import EngineCounters, Outcome, OutcomeKind, Repetition
from harness.metrics.playback import ttfc

STARVED_RATIO = 4.0
"""If requests are answered one after the other, the last waits at most twice the median. The limit is twice that."""
FEWEST_USERS = 3
"""With two requests the longer wait is never more than twice their median."""


def check_invariants(repetitions: Sequence[Repetition], *, texts: int) -> list[Repetition]:
    """Concurrent requests with violations as their outcomes. `texts` is the number of different texts."""
    account = repetitions[0].account if repetitions else None
    if account is None:
        return list(repetitions)
    equal = texts == 1 and len(repetitions) > 1
    broken = _over_bound(account) or (_computed_again(account, len(repetitions)) if equal else None)
    if broken is not None:
        return [replace(each, outcome=broken) if each.outcome.valid else each for each in repetitions]
    # A request that is answered from the cache does not wait in the queue.
    return list(repetitions) if account.hits or account.joined else _starved(repetitions)


def _over_bound(account: EngineCounters) -> Outcome | None:
    if account.cache_bytes <= account.cache_limit:
        return None
    return _violation(
        "cache-bound", f"The cache holds {account.cache_bytes:,} B, more than its bound of {account.cache_limit:,} B."
    )


def _computed_again(account: EngineCounters, users: int) -> Outcome | None:
    """With a cache, each segment of a text that all requests share is computed at most once."""
    segments = account.asked // users
    if not account.cache_limit or account.misses <= segments:
        return None
    reason = (
        f"{users} equal requests of {segments} segments computed {account.misses} segments, not {segments} at most."
    )
    return _violation("computed-again", reason)


def _starved(repetitions: Sequence[Repetition]) -> list[Repetition]:
    """Mark the requests that waited far longer for their first chunk than the others."""
    # Like ttfc, ignore chunks without frames.
    ttfc_s = [ttfc(each.chunks).value if each.outcome.valid else None for each in repetitions]
    waits = [wait_s for wait_s in ttfc_s if wait_s is not None]
    if len(waits) < FEWEST_USERS:
        return list(repetitions)
    typical = median(waits)

    def checked(each: Repetition, wait_s: float | None) -> Repetition:
        if wait_s is None or wait_s <= STARVED_RATIO * typical:
            return each
        reason = f"This user waited {wait_s:.2f} s for sound; the median of all {len(waits)} is {typical:.2f} s."
        return replace(each, outcome=_violation("starved", reason))

    return [checked(each, wait_s) for each, wait_s in zip(repetitions, ttfc_s, strict=True)]


def _violation(invariant: str, reason: str) -> Outcome:
    return Outcome(kind=OutcomeKind.BROKEN_PROMISE, fault=invariant, reason=reason)
