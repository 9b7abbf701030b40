"""Checks the answers to concurrent requests: the invariants of an engine with counters, and that texts are not mixed.

No request starves, equal requests are computed once, and a cache keeps to its bound. A violation becomes the outcome of
the requests that it affects.

An answer under load must match the solo answer to the same text, and be no other text or mixture of texts. A
synthesiser may add noise to every answer, so the samples of two good answers differ. The check compares levels in
frequency bands over time. The similarity of two solo answers sets the limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from harness.core.records.repetition import VALID, EngineCounters, Outcome, OutcomeKind, Repetition
from harness.metrics.playback import ttfc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


WINDOW_S = 0.02
BANDS = 48
FLOOR_DB = -60.0
"""Levels below this count as silence, which excludes the noise between words."""
SLACK = 0.1
"""How much lower than that of two solo answers the similarity may be."""
LENGTH_SLACK = 0.02
FAULT = "differs-from-alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloReference:
    """Two solo answers to a text, mono float32 of shape (frames,). Their similarity is the normal one."""

    first: "NDArray[np.float32]"
    again: "NDArray[np.float32]"
    sample_rate: int

    def judge(self, answer: "NDArray[np.float32]") -> Outcome:
        """Compare an answer with the solo answers: VALID, or an outcome with both similarities."""
        normal = similarity(self.first, self.again, self.sample_rate)
        found = max(similarity(self.first, answer, self.sample_rate), similarity(self.again, answer, self.sample_rate))
        if found >= normal - SLACK:
            return VALID
        return Outcome(
            kind=OutcomeKind.INVALID_AUDIO,
            fault=FAULT,
            reason=f"The audio differs from the solo answer: the similarity is {found:.2f}, that of two solo answers "
            f"is {normal:.2f}.",
        )


def similarity(one: "NDArray[np.float32]", other: "NDArray[np.float32]", sample_rate: int) -> float:
    """Correlation of two signals' levels over time and frequency: 1 for the same course, about 0 for unrelated ones.

    It is 0 if the lengths differ by more than 2 %.
    """
    import numpy as np

    longer, shorter = max(len(one), len(other)), min(len(one), len(other))
    if not shorter or longer - shorter > LENGTH_SLACK * longer:
        return 0.0
    a, b = (_levels(signal[:shorter], sample_rate).ravel() for signal in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else float(np.array_equal(a, b))


def _levels(signal: "NDArray[np.float32]", sample_rate: int) -> "NDArray[np.float64]":
    """Levels in dB above the floor, which lies below the loudest; shape (windows, bands), evenly wide up to 6 kHz."""
    import numpy as np

    size = max(2 * BANDS, round(WINDOW_S * sample_rate))
    windows = max(1, len(signal) // size)
    padded = np.zeros(windows * size)
    padded[: min(len(signal), len(padded))] = signal[: len(padded)]
    power = np.abs(np.fft.rfft(padded.reshape(windows, size) * np.hanning(size), axis=1)) ** 2
    upper = max(BANDS, int(6_000 * size / sample_rate))
    edges = np.linspace(0, min(upper, power.shape[1] - 1), BANDS + 1).astype(int)
    bands = np.add.reduceat(power, edges[:-1], axis=1)
    loudest = bands.max()
    if not loudest:
        return np.zeros_like(bands)
    level: NDArray[np.float64] = np.maximum(10 * np.log10(bands / loudest + 1e-30), FLOOR_DB) - FLOOR_DB
    return level
