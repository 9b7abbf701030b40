"""Where a text is cut for a listener who waits: at sentences and clauses, a short piece first, then ever longer ones.

Pure, on phonemes. The same text is always cut alike, whatever the machine's speed, so that its audio may be cached.
"""

import re
from collections.abc import Iterator
from unicodedata import category

FIRST = 48
"""Phonemes of the first piece at most: about 3 s of speech, and all of the wait for the first sound."""
FIRST_LEAST = 28
"""Phonemes of a first piece at least, where more follow: all later pieces live on the time that it buys."""
LONGEST = 180
"""Phonemes of any piece at most: a session runs one at a time, and another listener's first piece waits for it."""
LONGEST_UNBROKEN = 510
"""What Kokoro takes at once; reached only by a run without spaces."""
PACE = 0.85
"""The real-time factor up to which no piece comes late, with some room above the 0.8 that is promised."""
STRETCH = PACE / 0.8
"""The last piece may use up that room rather than leave a few phonemes for another."""
TAIL = 24
"""Phonemes that a piece should have at least: a shorter one is spoken at another rate and loudness than the others."""

PAUSE_SENTENCE_S = 0.25
PAUSE_CLAUSE_S = 0.1
"""Silence between pieces; kokoro-onnx's own defaults."""

_BOUNDARIES = (
    re.compile(r"(?<=[.!?…])\s+"),
    re.compile(r"(?<=[,;:—])\s+"),
    re.compile(r"\s+"),
)
"""Sentence, clause, word: the best place to cut first. The mark stays with what it ends."""


def split_phonemes(phonemes: str) -> tuple[str, ...]:
    """The pieces of a text in its order; each fits into one run of the model. None for a text without phonemes.

    A piece is at most so long that it is synthesised before the pieces before it have been played, at any real-time
    factor up to PACE. Within that limit it ends at a sentence, else at a clause, else at a word.
    """
    return tuple(_pieces(" ".join(phonemes.split())))


def _pieces(rest: str) -> Iterator[str]:
    spoken = first = 0
    while rest:
        limit = _limit(spoken, first)
        whole = len(rest) <= (limit * STRETCH if spoken else limit)
        end = len(rest) if whole else _best_end(rest, limit=limit, least=TAIL if spoken else FIRST_LEAST)
        piece, rest = rest[:end].strip(), rest[end:].strip()
        yield piece
        spoken += len(piece)
        first = first or len(piece)


def _limit(spoken: int, first: int) -> int:
    """Phonemes of the next piece at most, where `spoken` are done, `first` of them before playback started.

    Audio a and work r·a both follow phonemes. Playback begins when the first piece is there; the next must be done when
    all before it have been played: r·(spoken − first) + r·next ≤ spoken.
    """
    if not spoken:
        return FIRST
    return max(TAIL, min(LONGEST, int(spoken / PACE - (spoken - first))))


def _best_end(text: str, *, limit: int, least: int) -> int:
    """Where a piece of at most `limit` ends: sentence and clause in its later half, then earlier, then the last word.

    A piece that ends early leaves its successor less time, but a cut within a clause is audible. What follows the last
    cut is no shorter than a tail, or half of one behind a mark, unless the limit leaves no such place. Only a word that
    is longer than the limit exceeds it, and is then a piece of its own.
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
        # One side is short wherever the cut is: the one is taken that makes it the least short.
        return max(words, key=lambda end: min(end, len(text) - end))
    beyond = _BOUNDARIES[-1].search(text, limit)
    return _before_mark(text, min(beyond.start() if beyond else len(text), LONGEST_UNBROKEN))


def _before_mark(text: str, end: int) -> int:
    """`end`, or before the letter whose combining marks (nasal, syllabic, …) it would cut off."""
    start = end
    while start < len(text) and start > 1 and category(text[start]).startswith("M"):
        start -= 1
    return start if start > 1 else end


def _ends(boundary: re.Pattern[str], text: str, limit: int) -> list[int]:
    return [found.start() for found in boundary.finditer(text, 0, limit + 1)]
