"""A text beside what a recogniser made of it: words that differ are marked, for eyes and for screen readers alike."""

import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from markupsafe import Markup

from reports.text.format import count, visible

MOST_WORDS = 400
"""Words of a text or a transcript that are shown: a recogniser that loops writes thousands."""

_DELETED = Markup('<del><span class="unseen">missing: </span>{}</del>')
_INSERTED = Markup('<ins><span class="unseen">added: </span>{}</ins>')


def marked(text: str, transcript: str) -> Markup:
    """`text` with the words that `transcript` lacks struck out, and those that it has beyond the text underlined.

    Words are compared without case and punctuation. Languages without spaces are compared character by character.
    """
    between = " " if _has_spaces(text) or _has_spaces(transcript) else ""
    expected, actual = (_words(each, between) for each in (text, transcript))
    pieces = list(_pieces(expected[:MOST_WORDS], actual[:MOST_WORDS], between))
    beyond = max(len(expected), len(actual)) - MOST_WORDS
    if beyond > 0:
        pieces.append(Markup('<span class="quiet">… and {}</span>').format(count(beyond, "more word")))
    return (Markup(" ") if between else Markup("")).join(pieces)


def plain(text: str) -> Markup:
    """A text of which nothing is marked, in the same length."""
    return marked(text, text)


def _has_spaces(text: str) -> bool:
    """Whether words of the text are separated by spaces; a single word of a Latin or similar script counts."""
    letters = [each for each in text if each.isalpha()]
    ideographs = sum(unicodedata.category(each) == "Lo" and each >= "\u2e80" for each in letters)
    return 2 * ideographs <= len(letters)


def _words(text: str, between: str) -> list[str]:
    shown = visible(text)
    return shown.split() if between else [each for each in shown if not each.isspace()]


def _pieces(expected: Sequence[str], actual: Sequence[str], between: str) -> Iterator[Markup]:
    keys, others = ([_key(word) for word in words] for words in (expected, actual))
    matcher = SequenceMatcher(a=keys, b=others, autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        ours, theirs = expected[start:end], actual[other_start:other_end]
        if kind == "equal":
            yield _joined(ours, between)
            continue
        if any(map(_key, ours)):
            yield _DELETED.format(_joined(ours, between))
        elif ours:  # punctuation by itself is not spoken
            yield _joined(ours, between)
        if any(map(_key, theirs)):
            yield _INSERTED.format(_joined(theirs, between))


def _joined(words: Sequence[str], between: str) -> Markup:
    return Markup("{}").format(between.join(words))


def _key(word: str) -> str:
    """A word without case, punctuation and the form of its characters."""
    return "".join(each for each in unicodedata.normalize("NFKC", word).casefold() if each.isalnum())
