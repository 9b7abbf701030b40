"""What a run's audio says and how it sounds, as finished strings: verdicts, transcripts and scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from harness.core.records.run import Concluded
from harness.core.records.speech import SpeechKind, SpeechReading, SpeechSheet
from harness.core.records.value import Reading
from harness.core.records.verdict import SPEECH_VERDICT, VerdictKind
from harness.core.redaction import published_record, published_text
from harness.store.audio import read_speech
from reports.text.format import count, scale, sentence
from reports.text.speech import WORD_ERRORS
from reports.text.transcripts import marked, plain

SHORT = {"dnsmos_overall": "DNSMOS overall", "dnsmos_signal": "signal", "dnsmos_p808": "P.808"}
"""What an audio was rated by, in the order shown: metric → its name beside a player."""
SCORES = tuple(SHORT)
OF_TEXT = (WORD_ERRORS, *SCORES)
"""Figures of a scenario's speech that tables show beside those of similarity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A speech verdict: a glyph for readers without colour, a word, a class of the style sheet, and the reason."""

    glyph: str
    word: str
    css: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One rating of an audio; `reason` says why there is none."""

    title: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One kept audio: its text with the words marked that a recogniser transcribed otherwise, and its ratings."""

    text: Markup
    words: str
    scores: tuple[Score, ...]


_BADGES: Mapping[SpeechKind, tuple[str, str]] = {
    SpeechKind.EQUIVALENT: ("=", "same"),
    SpeechKind.DIFFERENT: ("≈", "unclear"),
    SpeechKind.BROKEN: ("✕", "failed"),
    SpeechKind.UNKNOWN: ("?", "none"),
}
_BY_GATE: Mapping[VerdictKind, SpeechKind] = {
    VerdictKind.UNCHANGED: SpeechKind.EQUIVALENT,
    VerdictKind.DIFFERENT: SpeechKind.DIFFERENT,
    VerdictKind.FAILED: SpeechKind.BROKEN,
}
"""Kinds of the gate's verdicts on speech, as the speech verdicts that they stand for."""


class Speech:
    """What is known of the speech of a run: from what lies beside its audio, and from its verdicts without it."""

    def __init__(self, data: Concluded, sheet: SpeechSheet | None = None) -> None:
        sheet = sheet or SpeechSheet()
        self._readings = {(each.scenario_id, each.launch): each for each in map(_published, sheet.readings)}
        gate = [each for each in data.verdicts if each.metric == SPEECH_VERDICT and each.kind in _BY_GATE]
        self._badges = {each.scenario_id: _badge(_BY_GATE[each.kind], each.reason) for each in gate}
        self._badges |= {
            each.scenario_id: _badge(each.kind, each.reason, counts=each.counts)
            for each in published_record(sheet.verdicts)
        }

    def badge(self, scenario_id: str) -> Badge | None:
        """The verdict of a scenario; None where it was compared with nothing."""
        return self._badges.get(scenario_id)

    def transcript(self, scenario_id: str, launch: int) -> Transcript | None:
        """What one kept audio says; None if it was not judged."""
        found = self._readings.get((scenario_id, launch))
        if found is None:
            return None
        return Transcript(text=_marked(found), words=_words(found), scores=tuple(_scores(found.readings)))

    def launches(self, scenario_id: str) -> tuple[int, ...]:
        """The launches of a scenario of which audio was judged, in order."""
        return tuple(sorted(launch for own, launch in self._readings if own == scenario_id))

    def loudness(self, scenario_id: str, launch: int) -> Reading | None:
        """The loudness of one kept audio, LUFS; None where it was not judged."""
        found = self._readings.get((scenario_id, launch))
        return found.readings.get("loudness") if found else None


def speech_of(data: Concluded, folder: Path | None) -> Speech:
    """What is known of the speech of a run whose audio lies under `folder`."""
    return Speech(data, read_speech(folder, data.run.id) if folder else None)


def _published(reading: SpeechReading) -> SpeechReading:
    """A reading without the user's folders."""
    readings = {name: replace(each, reason=published_text(each.reason)) for name, each in reading.readings.items()}
    return replace(published_record(reading), readings=readings)


def _badge(kind: SpeechKind, reason: str, *, counts: Mapping[str, int] | None = None) -> Badge:
    glyph, css = _BADGES[kind]
    found = ", ".join(f"{number} {name}" for name, number in (counts or {}).items() if number)
    several = f" Of {count(sum((counts or {}).values()), 'audio file')}: {found}." if ", " in found else ""
    return Badge(glyph=glyph, word=kind.value, css=css, reason=sentence(reason) + several)


def _marked(reading: SpeechReading) -> Markup:
    """The marks tell spellings apart, such as 3 and three; they are left out where the normal forms are equal."""
    if reading.words is None or not reading.words.errors:
        return plain(reading.text)
    return marked(reading.text, reading.transcript)


def _words(reading: SpeechReading) -> str:
    words = reading.words
    if words is None:
        unknown = reading.readings.get("wer")
        return sentence(f"not transcribed: {unknown.reason}" if unknown and unknown.reason else "not transcribed")
    if not words.errors:
        return "Every word was recognised."
    kinds = ((words.substituted, "replaced"), (words.deleted, "missing"), (words.inserted, "added"))
    each = ", ".join(f"{number} {name}" for number, name in kinds if number)
    return f"{count(words.errors, 'word differs', 'words differ')} in a text of {words.reference}: {each}."


def _scores(readings: Mapping[str, Reading]) -> Iterator[Score]:
    for name in SCORES:
        reading = readings.get(name)
        if reading is None:
            continue
        value = "" if reading.value is None else scale(name, [reading.value]).bare(reading.value)
        yield Score(title=SHORT[name], value=value or "unknown", reason="" if value else reading.reason)


def together(badges: Sequence[Badge | None]) -> Badge | None:
    """The most serious of several verdicts, None without any."""
    known = [each for each in badges if each]
    order = [SpeechKind.BROKEN, SpeechKind.DIFFERENT, SpeechKind.UNKNOWN, SpeechKind.EQUIVALENT]
    return min(known, key=lambda each: order.index(SpeechKind(each.word)), default=None)
