"""The rule that calls one audio equivalent to its original's, different from it, or broken.

Both audios speak the same text with the same voice at the same speed. The rule compares the two and never uses a value
of one alone: a recogniser makes mistakes with the original as well. It counts words and takes no mean of error rates,
because one lost sentence outweighs everything in a mean.

Joined speech is that of an arm that splits its text at other places than the original. Its timing and intonation differ
by nature, so it has a rule of its own (`JOINED`), which compares no frames.

`docs/speech_quality.md` has the measurements that the limits below were set from, and the calibration: how often
unchanged speech and planted faults are called equivalent, different and broken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.core.quantities import Figure
from harness.core.records.speech import SpeechKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.core.records.speech import EditCounts, SpeechReading
    from harness.core.records.value import Reading

BROKEN_WORDS = 2
BROKEN_SHARE = 0.15
"""Broken: at least so many words more in error than the original's, and at least this share of the text's words."""
LEGIBLE_SHARE = 0.5
"""Words count only if the recogniser gets at least this share of the original's: it cannot follow noise."""

BROKEN_DURATION = 0.87
DIFFERENT_DURATION = 0.95
"""Broken or different: a ratio of durations below this, or above its reciprocal. Eight bits moved it by up to 2 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Above `different` or `broken` (dB), an audio is so. `floor` times the original's own noise floor is allowed."""

    different: float
    broken: float
    floor: float
    clause: str


LIMITS = {
    # The public 8-bit model: 0.9 to 2.0 dB. The same with the last convolution in 8 bits: 3.8 to 4.7 dB, and
    # noisier. Another voice: from 4.4 dB; second half cut: from 4.5 dB; sentences swapped: from 6.9 dB.
    "mcd": Limit(
        different=2.1, broken=4.2, floor=2.0, clause="its mel-cepstral distortion from the original is {:.1f} dB"
    ),
    # The public 8-bit model: 1.6 to 3.7 dB. Every tenth phoneme dropped: from 5.3 dB in 13 of 14, once 3.6 dB.
    "mcd_peak": Limit(
        different=4.0, broken=5.0, floor=4.0, clause="for 100 ms it is {:.1f} dB from the original, as another sound is"
    ),
    # The public 8-bit model: 0.1 to 0.4 dB. The last convolution in 8 bits: up to 3.1 dB. Other voices: 2.5 to 7 dB.
    "timbre": Limit(different=1.0, broken=3.5, floor=2.0, clause="its mean spectrum is {:.1f} dB from the original's"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Joined speech outside one of these (lowest, highest) values is different or broken."""

    different: tuple[float, float]
    broken: tuple[float, float] = (-math.inf, math.inf)
    clause: str


JOINED = {
    "duration_ratio": Span(
        different=(0.92, 1.25), broken=(0.75, 1.5), clause="it speaks {:.0%} as long as the original"
    ),
    "timbre": Span(
        different=(0.0, 1.0), broken=(0.0, 3.5), clause="its mean spectrum is {:.1f} dB from the original's"
    ),
    # Segments of 28 phonemes: up to 3.5 dB. One of them in another voice of the same sex: from 4.0 dB; of the other
    # sex: from 5.3 dB.
    "timbre_peak": Span(
        different=(0.0, 3.8), broken=(0.0, 4.8), clause="for 0.7 s its mean spectrum is {:.1f} dB from the original's"
    ),
    "pitch": Span(
        different=(-1.5, 1.5), broken=(-4.0, 4.0), clause="its median pitch is {:+.1f} semitones from the original's"
    ),
    "pitch_spread": Span(different=(0.6, 1.67), clause="its pitch varies {:.0%} as much as the original's"),
    "pause": Span(
        different=(-0.4, 0.4), broken=(-math.inf, 1.5), clause="its longest pause is {:+.2f} s from the original's"
    ),
    "opening_rate": Span(different=(0.8, 1.25), clause="beside the rest, it begins at {:.0%} of the original's rate"),
    "opening_loudness": Span(
        different=(-3.5, 3.5), clause="beside the rest, it begins {:+.1f} dB from the original's loudness"
    ),
}
"""What is compared of joined speech. Limits by these audios and by what a listener notices, not by a listening test."""
EXCESS_DB = 2.5
"""Distortion that is even over the audio is noise. Only a peak so far above the mean is a sound that is missing."""
OVERFLOW = 1.5
"""Broken: a step between successive samples above this, where full scale is 2. Speech had steps of up to 0.75."""

BROKEN_MOS = 1.0
DIFFERENT_MOS = 0.4
"""Broken or different: an estimate so many points below the original's."""
ESTIMATES = ("dnsmos_overall", "dnsmos_p808")

WITHIN = "it says and sounds the same within the limits"
WITHIN_JOINED = "joined from other segments, its words, voice, pitch, pauses and rate are the same within the limits"
SAME_MCD_DB = 0.05
"""Up to this distortion at the same duration, it is the original's audio: there is nothing to recognise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one audio was found to be; the reason is a clause without a full stop."""

    kind: SpeechKind
    reason: str = ""


def judge_audio(
    figures: Mapping[str, Reading],
    ours: SpeechReading | None,
    theirs: SpeechReading | None,
    *,
    own_mcd: float | None = None,
    missing: str = "",
    joined: bool = False,
) -> Answer:
    """The answer for one audio, from its similarity to the original's (`figures`) and the readings of both.

    `own_mcd` (dB) is the original's distance from itself under another seed, None if unknown. `missing` says why there
    are no readings. Without them, broken audio is still found by its sound; what is not found is unknown. `joined`: the
    two split the text differently, and `figures` has the values of their prosody.
    """
    by_sound = _by_prosody(figures) if joined else _by_distances(figures, own_mcd or 0.0)
    found = [*by_sound, *_by_overflow(figures), *_by_words(ours, theirs), *_by_estimates(ours, theirs)]
    for kind in (SpeechKind.BROKEN, SpeechKind.DIFFERENT):
        reasons = [each.reason for each in found if each.kind is kind]
        if reasons:
            return Answer(kind=kind, reason=", ".join(reasons))
    if _is_same(figures, joined=joined):
        return Answer(kind=SpeechKind.EQUIVALENT, reason="its audio is the original's")
    unheard = _unheard(ours, theirs, missing)
    if unheard:
        return Answer(kind=SpeechKind.UNKNOWN, reason=unheard)
    return Answer(kind=SpeechKind.EQUIVALENT, reason=WITHIN_JOINED if joined else WITHIN)


def worst_of(answers: Mapping[int, Answer]) -> Answer:
    """The answer for a scenario: that of its worst audio. A model that breaks one of two launches is broken."""
    order = (SpeechKind.BROKEN, SpeechKind.DIFFERENT, SpeechKind.UNKNOWN, SpeechKind.EQUIVALENT)
    return min(answers.values(), key=lambda each: order.index(each.kind))


def _by_prosody(figures: Mapping[str, Reading]) -> Iterator[Answer]:
    for name, span in JOINED.items():
        value = _value(figures, name)
        if value is None:
            continue
        for kind, (low, high) in ((SpeechKind.BROKEN, span.broken), (SpeechKind.DIFFERENT, span.different)):
            if not low <= value <= high:
                yield Answer(kind=kind, reason=span.clause.format(Figure(value)))
                break


def _by_distances(figures: Mapping[str, Reading], own_mcd: float) -> Iterator[Answer]:
    ratio = _value(figures, "duration_ratio")
    if ratio is not None:
        shorter = min(ratio, 1 / ratio) if ratio > 0 else 0.0
        clause = f"it speaks {ratio:.0%} as long as the original"
        yield from _graded(1 - shorter, 1 - BROKEN_DURATION, 1 - DIFFERENT_DURATION, clause)
    mcd = _value(figures, "mcd")
    for name, limit in LIMITS.items():
        value = _value(figures, name)
        if value is not None:
            allowed = limit.floor * own_mcd
            even = name == "mcd_peak" and value - (mcd or 0.0) <= EXCESS_DB
            broken = math.inf if even else allowed + limit.broken
            yield from _graded(value, broken, allowed + limit.different, limit.clause.format(Figure(value)))


def _by_overflow(figures: Mapping[str, Reading]) -> Iterator[Answer]:
    step = _value(figures, "largest_step")
    if step is not None and step > OVERFLOW:
        yield Answer(kind=SpeechKind.BROKEN, reason=f"its samples overflow: one step is {step:.1f} of 2 at full scale")


def _by_words(ours: SpeechReading | None, theirs: SpeechReading | None) -> Iterator[Answer]:
    """More errors than the original's; one word more is different speech only if it is recognised otherwise."""
    counts = _counts(ours, theirs)
    if counts is None:
        return
    mine, original = counts
    more = mine.errors - original.errors
    if more <= 0:
        return
    clause = f"{mine.errors} of {mine.reference} words are not recognised, {original.errors} of the original's"
    share = more / max(1, mine.reference)
    broken = more >= BROKEN_WORDS and share >= BROKEN_SHARE
    yield Answer(kind=SpeechKind.BROKEN if broken else SpeechKind.DIFFERENT, reason=clause)


def _by_estimates(ours: SpeechReading | None, theirs: SpeechReading | None) -> Iterator[Answer]:
    if not _comparable(ours, theirs) or ours is None or theirs is None:
        return
    if ours.words is not None and theirs.words is not None and _counts(ours, theirs) is None:
        return  # what the recogniser does not understand is no speech, and the estimator knows nothing else
    for name in ESTIMATES:
        mine, original = _value(ours.readings, name), _value(theirs.readings, name)
        if mine is not None and original is not None:
            clause = f"{name} is {mine:.2f}, the original's {original:.2f}"
            yield from _graded(original - mine, BROKEN_MOS, DIFFERENT_MOS, clause)


def _graded(value: float, broken: float, different: float, clause: str) -> Iterator[Answer]:
    if value > broken:
        yield Answer(kind=SpeechKind.BROKEN, reason=clause)
    elif value > different:
        yield Answer(kind=SpeechKind.DIFFERENT, reason=clause)


def _is_same(figures: Mapping[str, Reading], *, joined: bool) -> bool:
    distance = _value(figures, "timbre_peak" if joined else "mcd")
    return distance is not None and distance <= SAME_MCD_DB and _value(figures, "duration_ratio") == 1.0


def _counts(ours: SpeechReading | None, theirs: SpeechReading | None) -> tuple[EditCounts, EditCounts] | None:
    """The word counts of both, or None if they cannot be compared."""
    if not _comparable(ours, theirs) or ours is None or theirs is None or ours.words is None or theirs.words is None:
        return None
    legible = theirs.words.errors <= (1 - LEGIBLE_SHARE) * theirs.words.reference
    return (ours.words, theirs.words) if legible else None


def _comparable(ours: SpeechReading | None, theirs: SpeechReading | None) -> bool:
    """Whether one judge read both, on the same text."""
    return ours is not None and theirs is not None and ours.judge == theirs.judge and ours.text == theirs.text


def _unheard(ours: SpeechReading | None, theirs: SpeechReading | None, missing: str) -> str:
    """Why the words of both are not known, or ""."""
    for each, whose in ((theirs, "the original's audio"), (ours, "its audio")):
        if each is None:
            return missing or f"{whose} was not judged"
        if each.words is None:
            wer = each.readings.get("wer")
            return wer.reason if wer is not None and wer.reason else f"no words are known of {whose}"
    if not _comparable(ours, theirs):
        return "it and its original were judged by different tools"
    if _counts(ours, theirs) is None:
        return "the recogniser does not understand the original"
    return ""


def _value(readings: Mapping[str, Reading], name: str) -> float | None:
    found = readings.get(name)
    return None if found is None else found.value
