"""The texts to synthesise: classes of a stated length, composed from a pool of sentences with a recorded seed.

The algorithm (`COMPOSITION` is its version) sorts the segments of the pool (sentences or words) by the SHA-256 of
"composition/seed/class/variant/attempt" and the segment. The order does not depend on a random generator's state, so
every platform and Python version composes the same texts. In that order the algorithm takes each segment that still
fits, joined by one space, until the text is within the class's tolerance. If the class already has the text, or the
segments run out, it starts the next attempt. Variant k of a class therefore depends only on the seed and the pool. It
does not depend on the number of variants, on other classes, or on the order of the pool's lines.

Each language of `CORPUS_LANGUAGES` has its own pools: `sentences.TAG.txt` and `words.TAG.txt`, for en-us without the
tag. Phoneme texts are the same in every language.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from itertools import permutations
from types import MappingProxyType

from harness.core.errors import UsageError, nearest
from harness.core.records.scenario import Band, Scenario, Utterance
from harness.engines.languages import DEFAULT, same_language, voice_language

COMPOSITION = 1
"""Version of the composition algorithm. 1: first fit in the order of hashes."""

CUSTOM = "custom"
"""Class prefix of a user's own text. The text's digest follows, so each such text has its own baseline."""

CORPUS_LANGUAGES = (DEFAULT, "en-gb", "es", "fr-fr", "it", "pt-br")
"""The tags of the languages that have their own sentences."""

_ATTEMPTS = 200
_PLAIN = re.compile(r"[¿¡]?(?:[^\W\d_]|[, ])+[.?!]")
# The last two words of a phoneme text are chosen to make the length exact, once at most this many symbols remain. Words
# have 2 to 10 symbols, and up to 12 with a mark and a space. So 7 to 18 symbols remain, and the pair has 4 to 15.
_EXACT_FROM = 18


class Source(StrEnum):
    """The source of the texts of a class."""

    SENTENCES = "sentences"
    """Whole sentences."""
    UNPUNCTUATED = "unpunctuated"
    """Words of sentences that contain only letters, in lower case, so that the text has no mark to split at."""
    PHONEMES = "phonemes"
    """Phoneme symbols in word-like groups: the number of phonemes does not depend on the version of espeak-ng."""
    WORDS = "words"
    """A single word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextClass:
    """A class of texts: `characters` is the target length, `tolerance` the largest deviation from it, as a ratio."""

    name: str
    characters: int
    tolerance: float
    source: Source = Source.SENTENCES

    @property
    def shortest(self) -> int:
        """The minimum length of a text in characters."""
        return self.characters - round(self.characters * self.tolerance)

    @property
    def longest(self) -> int:
        """The maximum length of a text in characters."""
        return self.characters + round(self.characters * self.tolerance)

    @property
    def seconds_per_character(self) -> Band:
        """The plausible range of seconds of audio per character, at speed 1 (at speed s, divide both by s).

        Narration at 150 to 160 words per minute, with about six characters per word and its space, takes 0.063 to
        0.067 s per character. The pool has 1.13 phonemes per character (kokoro-onnx 0.6.1, espeak-ng) and the replica
        takes 0.072 s per phoneme, which gives 0.08 s per character. The range is half of the former to 2.5 times the
        latter, for fast and slow voices, numbers in digits (up to 2.5 phonemes per character in a short text) and
        pauses. The silence before and after the speech does not depend on the length, so the range adds 2.5 s for it.
        Kokoro v1.0 (int8) takes 0.05 to 0.08 s per character of chars-60, 0.07 to 0.10 s of chars-12 and 0.09 to 0.16 s
        of one word, in all languages of the corpus.
        """
        return Band(low=0.03, high=0.2 + 2.5 / self.characters)


TEXT_CLASSES: Mapping[str, TextClass] = MappingProxyType(
    {
        text_class.name: text_class
        for text_class in (
            TextClass(name="chars-12", characters=12, tolerance=0.25),
            TextClass(name="chars-60", characters=60, tolerance=0.1),
            TextClass(name="chars-200", characters=200, tolerance=0.05),
            TextClass(name="chars-500", characters=500, tolerance=0.04),
            TextClass(name="chars-900", characters=900, tolerance=0.03),
            TextClass(name="chars-1700", characters=1700, tolerance=0.02),
            TextClass(name="chars-4400", characters=4400, tolerance=0.01),
            TextClass(name="one-word", characters=6, tolerance=0.33, source=Source.WORDS),
            # The model processes up to 510 phonemes at once: just below, exactly, and one too many.
            TextClass(name="phonemes-509", characters=509, tolerance=0, source=Source.PHONEMES),
            TextClass(name="phonemes-510", characters=510, tolerance=0, source=Source.PHONEMES),
            TextClass(name="phonemes-511", characters=511, tolerance=0, source=Source.PHONEMES),
            # More than the model processes at once, and no mark to split at.
            TextClass(name="unpunctuated-700", characters=700, tolerance=0.05, source=Source.UNPUNCTUATED),
        )
    }
)


class Corpus:
    """The texts of every class in one language, for one seed. A class is composed at its first use.

    `digest` (SHA-256, hex) covers everything that determines the texts: equal digests mean equal texts. `language` is
    one of `CORPUS_LANGUAGES`.
    """

    def __init__(self, *, seed: int = 0, variants: int = 20, language: str = DEFAULT) -> None:
        if variants < 1:
            raise UsageError(f"{variants} variants of a text class", where="variants", remedy="ask for at least 1")
        self.seed = seed
        self.language = language
        self._variants = variants
        self._pools = _pools(language)
        self._composed: dict[str, tuple[Utterance, ...]] = {}

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the pools, the classes, the seed and the version of the composition algorithm."""
        classes = sorted(f"{each.name} {each.source} {each.shortest} {each.longest}" for each in TEXT_CLASSES.values())
        pools = [f"{source}\n" + "\n".join(sorted(pieces)) for source, pieces in sorted(self._pools.items())]
        return hashlib.sha256("\n".join([f"{COMPOSITION}/{self.seed}", *classes, *pools]).encode()).hexdigest()

    def in_language(self, language: str) -> "Corpus":
        """The corpus of a language, with the same seed and number of variants."""
        if language == self.language:
            return self
        return Corpus(seed=self.seed, variants=self._variants, language=language)

    def utterance(self, text_class: str, variant: int = 0) -> Utterance:
        """One text. UsageError for an unknown class or variant."""
        texts = self.variants(text_class)
        if not 0 <= variant < len(texts):
            raise UsageError(
                f"no variant {variant}", where=f"text class {text_class}", remedy=f"there are 0 to {len(texts) - 1}"
            )
        return texts[variant]

    def variants(self, text_class: str) -> tuple[Utterance, ...]:
        """All texts of a class, without duplicates. UsageError for an unknown class, or if its pool is too small."""
        known = TEXT_CLASSES.get(text_class)
        if known is None:
            raise UsageError(
                f"unknown text class {text_class!r}", where="--text", remedy=nearest(text_class, text_class_names())
            )
        if text_class not in self._composed:
            self._composed[text_class] = self._compose_all(known)
        return self._composed[text_class]

    def at_most(self, text_class: str, count: int) -> tuple[Utterance, ...]:
        """Up to `count` different texts: those of the class, then further ones from its pool. Raises UsageError."""
        found = list(self.variants(text_class))
        known = TEXT_CLASSES[text_class]
        seen = {each.text for each in found}
        for variant in range(len(found), count):
            text = next((text for text in self._attempts(known, variant) if text not in seen), None)
            if text is None:
                break
            seen.add(text)
            found.append(replace(found[0], variant=variant, text=text))
        return tuple(found[:count])

    def _attempts(self, text_class: TextClass, variant: int) -> Iterator[str]:
        attempts = (self._compose(text_class, f"{text_class.name}/{variant}/{attempt}") for attempt in range(_ATTEMPTS))
        return (text for text in attempts if text is not None)

    def _compose_all(self, text_class: TextClass) -> tuple[Utterance, ...]:
        texts: list[str] = []
        for variant in range(self._variants):
            text = next((text for text in self._attempts(text_class, variant) if text not in texts), None)
            if text is None:
                raise UsageError(
                    f"its pool gives {len(texts)} different texts, not {self._variants}",
                    where=f"text class {text_class.name}",
                    remedy=f"ask for at most {len(texts)} variants",
                )
            texts.append(text)
        phonemes = text_class.source is Source.PHONEMES
        return tuple(
            Utterance(
                text_class=text_class.name, variant=variant, text=text, is_phonemes=phonemes, language=self.language
            )
            for variant, text in enumerate(texts)
        )

    def _compose(self, text_class: TextClass, key: str) -> str | None:
        pieces = _in_order(self._pools[text_class.source], f"{COMPOSITION}/{self.seed}/{key}")
        if text_class.source is Source.PHONEMES:
            return _exact_fit(pieces, text_class.characters)
        return _first_fit(pieces, text_class)


def text_class_names() -> tuple[str, ...]:
    """The names of all classes: first by length, then the edge cases."""
    return tuple(TEXT_CLASSES)


def text_language(scenario: Scenario) -> str:
    """The language of the corpus that gives a scenario its text: the user's language, else that of the voice.

    A variety without a corpus, such as es-419, gets the corpus of its language. en-us stands for languages without a
    corpus, for phoneme texts and for the user's own text.
    """
    known = TEXT_CLASSES.get(scenario.text_class)
    if known is None or known.source is Source.PHONEMES:
        return DEFAULT
    wanted = scenario.language or voice_language(scenario.voice)
    alike = [each for each in CORPUS_LANGUAGES if same_language(each, wanted)]
    return wanted if wanted in alike else next(iter(alike), DEFAULT)


def text_key(scenario: Scenario) -> str:
    """The key of a scenario's texts in a plan: the text class, and its language where that is not en-us."""
    language = text_language(scenario)
    return scenario.text_class if language == DEFAULT else f"{scenario.text_class} {language}"


def user_text(text: str, *, is_phonemes: bool = False, language: str = "") -> Utterance:
    """A user's own text, without leading and trailing white space. Raises UsageError if it is empty.

    `language` is the language of the text; "" means the language of the voice.
    """
    spoken = text.strip()
    if not spoken:
        raise UsageError("the text is empty", where="--say", remedy="give at least one word")
    utterance = Utterance(text_class=CUSTOM, variant=0, text=spoken, is_phonemes=is_phonemes, language=language)
    return replace(utterance, text_class=f"{CUSTOM}-{utterance.digest[:8]}")


def seconds_per_character(utterance: Utterance) -> Band:
    """The plausible range of seconds of audio per character for an utterance, at speed 1.

    The range of a user's own text is wider: the text may consist of digits, use a script with one syllable per
    character (about 0.2 to 0.35 s each), or contain white space and marks that are not spoken.
    """
    known = TEXT_CLASSES.get(utterance.text_class)
    if known is not None:
        return known.seconds_per_character
    return Band(low=0.01, high=0.6 + 2.5 / utterance.characters)


def speech_s(characters: int) -> float:
    """The least seconds of speech that a text of this many characters takes at speed 1; see `seconds_per_character`."""
    return 0.05 * characters


def shortest_s(characters: int) -> float:
    """The least seconds in which an engine synthesises such a text: 20 times as fast as it is spoken."""
    return 0.05 * speech_s(characters)


@cache
def _pools(language: str) -> Mapping[Source, tuple[str, ...]]:
    suffix = "txt" if language == DEFAULT else f"{language}.txt"
    sentences = _lines(f"sentences.{suffix}")
    plain = (sentence for sentence in sentences if _PLAIN.fullmatch(sentence))
    found = {
        Source.SENTENCES: sentences,
        Source.UNPUNCTUATED: tuple(re.sub(r"[,.?!¿¡]", "", sentence).lower() for sentence in plain),
        Source.PHONEMES: _lines("phonemes.txt"),
        Source.WORDS: _lines(f"words.{suffix}"),
    }
    return MappingProxyType(found)


def _lines(name: str) -> tuple[str, ...]:
    text = files("harness.plan").joinpath(name).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


# All corpora of a process with the same seed compose the same texts.
@lru_cache(maxsize=1024)
def _in_order(pieces: tuple[str, ...], key: str) -> tuple[str, ...]:
    prefix = f"{key}\n".encode()
    digests = {piece: hashlib.sha256(prefix + piece.encode()).digest() for piece in pieces}
    return tuple(sorted(pieces, key=digests.__getitem__))


def _first_fit(pieces: Iterable[str], text_class: TextClass) -> str | None:
    """A text of the segments that fit, in their order; None if no text within the tolerance results."""
    text = ""
    for piece in pieces:
        longer = f"{text} {piece}" if text else piece
        if len(longer) <= text_class.longest:
            text = longer
        if len(text) >= text_class.shortest:
            return text
    return None


def _exact_fit(words: Sequence[str], length: int) -> str | None:
    """Words with a mark after every fourth, exactly `length` symbols; None if no last two words fit."""
    taken: list[str] = []
    left = length + 1  # each word counts with the space after it, which the last word does not have
    while left > _EXACT_FROM:
        mark = ("", "", "", ",", "", "", "", ".")[len(taken) % 8]
        taken.append(words[len(taken)] + mark)
        left -= len(taken[-1]) + 1
    for last_but_one, last in permutations(words[len(taken) :], 2):
        ending = [last_but_one, last + "."]
        if sum(len(word) + 1 for word in ending) == left:
            return " ".join([*taken, *ending])
    return None
