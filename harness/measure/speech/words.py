"""Normal forms of English text, and the edits between a text and a transcript. Runs in the judging process.

`whisper-normalizer` unifies case, punctuation, British spelling, contractions and numbers. The rules here add times of
day, initials, days of the month, units after a number and compound words.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from harness.core.records.speech import EditCounts

RULES = 1
"""Version of these rules: raised when a normal form changes."""
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_UNITS = {
    "km/h": "kilometers per hour", "mph": "miles per hour", "km": "kilometers", "kg": "kilograms", "cm": "centimeters",
    "mm": "millimeters", "ml": "milliliters", "°c": "degrees celsius", "°f": "degrees fahrenheit",
}  # fmt: skip
_BEFORE = (
    (r"\b([ap])\.?\s?m\b\.?", r" \1m "),  # p.m.
    (r"\b((?:[a-z]\.){2,})", lambda found: found[1].replace(".", "")),  # U.S.A.
    (r"\bno\.\s*(?=\d)", "number "),
    (r"(\d)\s*(" + "|".join(map(re.escape, _UNITS)) + r")(?![a-z])", lambda found: f"{found[1]} {_UNITS[found[2]]}"),
    (r"\bo['\u2019]\s?clock\b", " sharp "),
    (r"\b(\d{1,2})(?::00\b|\.00(?=\s*[ap]m\b))", r"\1 sharp "),
    (r"(\d)\s+%", r"\1%"),
    (r"\b(\d{1,2})\.(\d{2})(?=\s*[ap]m\b)", r"\1\2"),
    (r"\b(\d{1,2}):(\d{2})\b", r"\1\2"),
    (r"&", " and "),
    (r"\bokay\b", "ok"),
)
_AFTER = (
    (rf"\b({_MONTHS}) (?:the )?(\d{{1,2}})[snrt][tdh]\b", r"\1 \2"),
    (rf"\b(\d{{1,2}})[snrt][tdh] (?:of )?({_MONTHS})\b", r"\1 of \2"),
    (r"\bsharp ([ap]m)\b", r"\1"),
    (r"\b(\d{1,2})00 ([ap]m)\b", r"\1 \2"),
)


def normal(text: str) -> tuple[str, ...]:
    """The words of a text's normal form; empty if it has none."""
    text = text.lower()
    for pattern, by in _BEFORE:
        text = re.sub(pattern, by, text)
    text = " ".join(_normaliser()(text).split())
    for pattern, replacement in _AFTER:
        text = re.sub(pattern, replacement, text)
    return tuple(word for word in text.split() if any(letter.isalnum() for letter in word))


def compare(text: Sequence[str], transcript: Sequence[str]) -> tuple[EditCounts, EditCounts]:
    """The edits in words and in characters that turn one normal form, which is not empty, into the other."""
    import jiwer

    ours, theirs = joined(text, transcript), joined(transcript, text)
    reference, recognised = " ".join(ours), " ".join(theirs)
    return _counts(jiwer.process_words(reference, recognised), len(ours)), _counts(
        jiwer.process_characters(reference, recognised), len(reference)
    )


def joined(words: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """`words` with two neighbours joined where `others` has them as one: "good bye" beside "goodbye"."""
    compounds = set(others)
    found: list[str] = []
    for word in words:
        if found and found[-1] + word in compounds and not (word in compounds and found[-1] in compounds):
            found[-1] += word
        else:
            found.append(word)
    return tuple(found)


def _counts(output: Any, length: int) -> EditCounts:  # noqa: ANN401 - of either kind
    return EditCounts(
        reference=length, substituted=output.substitutions, deleted=output.deletions, inserted=output.insertions
    )


@cache
def _normaliser() -> Any:  # noqa: ANN401 - the tool ships no types
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()
