"""The protocol of the judging process: one JSON object a line over its standard streams. Standard library only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.codec import decode, encode
from harness.core.records.speech import EditCounts
from harness.core.records.value import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOrder:
    """One recording to judge: a file in NumPy's format with mono float32 samples."""

    audio_path: str
    sample_rate: int
    text: str
    words: bool
    """Whether to recognise words: True for English text, False for phonemes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The judgement of one recording; `readings` hold wer, cer, dnsmos_… and loudness.

    `cpu_s` is the processor time that it took. `error` says why there are no readings at all.
    """

    readings: Mapping[str, Reading] = field(default_factory=dict)
    transcript: str = ""
    words: EditCounts | None = None
    characters: EditCounts | None = None
    cpu_s: float = 0.0
    error: str = ""


def write_line(value: object) -> bytes:
    """`value` as a line of JSON, as the judging process reads and writes it."""
    return json.dumps(encode(value)).encode() + b"\n"


def read_order(line: bytes) -> JudgeOrder:
    """Raises ValueError if the line is no order."""
    return decode(JudgeOrder, json.loads(line))


def read_judgement(line: bytes) -> Judgement:
    """Raises ValueError if the line is no judgement."""
    return decode(Judgement, json.loads(line))
