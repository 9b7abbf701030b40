"""What an engine that keeps accounts promises of many requests at once: whether it was kept.

Nobody starves, equal requests are computed once, and a cache keeps to its bound. A promise that was broken is the
outcome of whoever it was broken to.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from harness.core.records.repetition import EngineCounters, Outcome, OutcomeKind, Repetition
from harness.metrics.playback import ttfc

STARVED = 4.0
"""Of many who are served in turn the last waits at most twice as long as the median; this is twice that."""
FEWEST_LISTENERS = 3
"""Of two the longer wait is never more than twice their median."""


def check_invariants(repetitions: Sequence[Repetition], *, texts: int) -> list[Repetition]:
    """The requests of a crowd, with the promises that were broken; `texts` is how many different texts they were."""
    account = repetitions[0].account if repetitions else None
    if account is None:
        return list(repetitions)
    equal = texts == 1 and len(repetitions) > 1
    broken = _over_bound(account) or (_computed_again(account, len(repetitions)) if equal else None)
    if broken is not None:
        return [replace(each, outcome=broken) if each.outcome.valid else each for each in repetitions]
    # Who finds the answer in the cache has not waited in turn.
    return list(repetitions) if account.hits or account.joined else _starved(repetitions)


def _over_bound(account: EngineCounters) -> Outcome | None:
    if account.cache_bytes <= account.cache_limit:
        return None
    return _broken(
        "cache-bound", f"The cache holds {account.cache_bytes:,} B, more than its bound of {account.cache_limit:,} B."
    )


def _computed_again(account: EngineCounters, users: int) -> Outcome | None:
    """Where there is a cache, each piece of a text that all ask for is computed once at most."""
    pieces = account.asked // users
    if not account.cache_limit or account.misses <= pieces:
        return None
    told = f"{users} equal requests of {pieces} pieces had {account.misses} pieces computed, not {pieces} at most."
    return _broken("computed-again", told)


def _starved(repetitions: Sequence[Repetition]) -> list[Repetition]:
    """With the outcome of those who waited far longer for their first chunk than the others."""
    # As ttfc: a chunk without frames is not heard.
    heard = [ttfc(each.chunks).value if each.outcome.valid else None for each in repetitions]
    waits = [wait_s for wait_s in heard if wait_s is not None]
    if len(waits) < FEWEST_LISTENERS:
        return list(repetitions)
    typical = median(waits)

    def judged(each: Repetition, wait_s: float | None) -> Repetition:
        if wait_s is None or wait_s <= STARVED * typical:
            return each
        told = f"This listener waited {wait_s:.2f} s for sound; the median of all {len(waits)} is {typical:.2f} s."
        return replace(each, outcome=_broken("starved", told))

    return [judged(each, wait_s) for each, wait_s in zip(repetitions, heard, strict=True)]


def _broken(promise: str, reason: str) -> Outcome:
    return Outcome(kind=OutcomeKind.BROKEN_PROMISE, fault=promise, reason=reason)
