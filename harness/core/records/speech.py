"""What a kept piece of synthesised audio says, how it sounds, and how that compares with its original."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.core.records.value import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCounts:
    """Edits (words or characters) that turn the normal form of a text into that of its transcript."""

    reference: int
    """Length of the text's normal form."""
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0

    @property
    def errors(self) -> int:
        return self.substituted + self.deleted + self.inserted


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechReading:
    """One kept audio of one scenario, judged by a recogniser and a quality estimator.

    `readings` has every speech metric by name, known or with the reason why not: `wer`, `cer` (ratios),
    `dnsmos_overall`, `dnsmos_signal`, `dnsmos_p808` (MOS), `leading_silence`, `trailing_silence` (s), `loudness`
    (LUFS). `words` and `characters` are None where nothing was recognised, for the reason that `wer` gives.
    """

    scenario_id: str
    launch: int
    text: str
    language: str
    audio_sha256: str
    """Of the samples (float32, little-endian) and the sample rate."""
    seconds: float
    readings: Mapping[str, Reading]
    transcript: str = ""
    words: EditCounts | None = None
    characters: EditCounts | None = None
    judge: str = ""
    """The tools and their versions: readings of two judges are not compared."""


class SpeechKind(StrEnum):
    """How an audio compares with its original's, on the same text, voice and speed."""

    EQUIVALENT = "equivalent"
    DIFFERENT = "different"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechVerdict:
    """The answer for one scenario, held against `reference` (a scenario id): `reason` is a sentence."""

    scenario_id: str
    reference: str
    kind: SpeechKind
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Kind → how many of the scenario's audios were found to be so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSheet:
    """What a run's kept audio was judged to be: a reading for each audio, a verdict for each compared scenario."""

    readings: tuple[SpeechReading, ...] = ()
    verdicts: tuple[SpeechVerdict, ...] = ()
