"""Splits phonemes into segments for streaming: at sentences and clauses, a short segment first, then longer ones.

Pure. The split does not depend on the machine's speed, so that the audio of a text can be cached.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import category

LONGEST = 180
"""The most phonemes of any segment: the first segment of another request waits until a session has finished it."""
LONGEST_UNBROKEN = 510
"""The most phonemes that Kokoro takes at once; reached only by phonemes without spaces."""
STRETCH = 17 / 16
"""The last segment may be longer than planned, rather than leave a few phonemes for another segment."""
TAIL = 24
"""The fewest phonemes that a segment should have: shorter ones differ from the others in rate and loudness."""

FIRST = 48
FIRST_OF_WINDOWS = 110
"""`first` where the first segment is decoded in windows: only a tenth of its work precedes the first sound."""
WINDOW_S = 0.7
"""The window of `auto`: `docs/joined_speech.md` has the table."""
PHONEMES_PER_S = 16
"""About as many are spoken in a second."""

PAUSE_SENTENCE_S = 0.25
PAUSE_CLAUSE_S = 0.1
"""Silence between segments: kokoro-onnx's own defaults."""

_BOUNDARIES = (
    re.compile(r"(?<=[.!?…])\s+"),
    re.compile(r"(?<=[,;:—])\s+"),
    re.compile(r"\s+"),
)
"""Ends of sentences, clauses and words, the best place to split first. A mark stays with what it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a text is split.

    `first` is the most phonemes of the first segment, at about 16 a second of speech: the wait for the first sound is
    its synthesis. `rtf` is the real-time factor up to which no segment is late: the lower, the faster segments grow.

    Without a window, 48 is the shortest `first` of 24, 28, 32, 40, 48 and 180 with which no speech was broken, by words
    and sound beside the whole text's (0 of 20; with 32 and 40 2, with 28 6, with 24 7): `docs/joined_speech.md`.
    """

    first: int = FIRST
    rtf: float = 0.85
    window: float = 0.0
    """Seconds of the first segment's speech that are decoded and played before the rest of it; 0 decodes it whole."""

    @property
    def first_least(self) -> int:
        """The fewest phonemes of a first segment that others follow: they are synthesised while it plays."""
        return self.first * 7 // 12


def split_phonemes(phonemes: str, plan: Plan = Plan()) -> tuple[str, ...]:
    """The segments of a text in order, each short enough for one run of the model; empty without phonemes.

    A segment is short enough to be synthesised while the segments before it are played, at any real-time factor up to
    the planned one. Within that limit it ends at a sentence, else at a clause, else at a word.
    """
    return tuple(_segments(" ".join(phonemes.split()), plan))


def _segments(rest: str, plan: Plan) -> Iterator[str]:
    spoken = first = 0
    while rest:
        limit = _limit(plan, spoken, first)
        whole = len(rest) <= (limit * STRETCH if spoken else limit)
        end = len(rest) if whole else _best_end(rest, limit=limit, least=TAIL if spoken else plan.first_least)
        segment, rest = rest[:end].strip(), rest[end:].strip()
        yield segment
        spoken += len(segment)
        first = first or (min(len(segment), round(plan.window * PHONEMES_PER_S)) or len(segment))


def _limit(plan: Plan, spoken: int, first: int) -> int:
    """The most phonemes of the next segment after `spoken` phonemes, of which `first` came before the first sound.

    Audio a and work r·a are proportional to phonemes. Playback begins when the first segment is synthesised, and the
    next one must be done when all before it have been played: r·(spoken − first) + r·next ≤ spoken.
    """
    if not spoken:
        return plan.first
    return max(TAIL, min(LONGEST, int(spoken / plan.rtf - (spoken - first))))


def _best_end(text: str, *, limit: int, least: int) -> int:
    """The end of a segment of at most `limit`: a sentence or clause in its later half, then earlier, then a word.

    A segment that ends early leaves less time for the next one, but a split within a clause is audible. The rest is no
    shorter than TAIL, or half of it after a mark, unless the limit allows no such end. Only a word longer than the
    limit exceeds it, and is then a segment of its own.
    """
    sentences, clauses = (_ends(marks, text, min(limit, len(text) - TAIL // 2)) for marks in _BOUNDARIES[:-1])
    for floor in (max(limit // 2, least), least):
        for found in (sentences, clauses):
            if found and found[-1] >= floor:
                return found[-1]
    words = _ends(_BOUNDARIES[-1], text, limit)
    long_enough = [end for end in words if TAIL <= end <= len(text) - TAIL]
    if long_enough:
        return long_enough[-1]
    if words:
        # One side is too short at any split: choose the longest such side.
        return max(words, key=lambda end: min(end, len(text) - end))
    beyond = _BOUNDARIES[-1].search(text, limit)
    return _before_mark(text, min(beyond.start() if beyond else len(text), LONGEST_UNBROKEN))


def _before_mark(text: str, end: int) -> int:
    """`end`, or the start of the letter that it would separate from its combining marks (nasal, syllabic, …)."""
    start = end
    while start < len(text) and start > 1 and category(text[start]).startswith("M"):
        start -= 1
    return start if start > 1 else end


def _ends(boundary: re.Pattern[str], text: str, limit: int) -> list[int]:
    return [found.start() for found in boundary.finditer(text, 0, limit + 1)]
