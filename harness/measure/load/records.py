"""Builds the records of a load's requests. It takes milliseconds of NumPy, so it runs in a thread or after the load."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.core.records.repetition import (
    VALID,
    AudioFeatures,
    ChunkMark,
    Memory,
    Outcome,
    Phase,
    Repetition,
    StageMark,
)
from harness.core.records.scenario import Band, Utterance
from harness.engines.http.exchange import AudioChunk
from harness.engines.speech import SpeechRequest
from harness.metrics.audio.features import extract
from harness.metrics.validity import check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LAG_STEP_NS = 100_000

KeepAudio = Callable[[int, "Sequence[NDArray[np.float32]]"], None]
"""Receives a request's number and its chunks, one request at a time, in a separate thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The requests of a load: request n has text n of `utterances`, starting over after the last text.

    A repeated text measures the server's cache, so give one text per request unless that is intended. `band` returns
    the plausible seconds of audio per character of a text, at speed 1.
    """

    scenario_id: str
    utterances: tuple[Utterance, ...]
    band: Callable[[Utterance], Band]
    voice: str
    speed: float = 1.0
    stream: bool = True

    def utterance(self, number: int) -> Utterance:
        return self.utterances[number % len(self.utterances)]

    def request(self, utterance: Utterance) -> SpeechRequest:
        return SpeechRequest(
            text=utterance.text,
            voice=self.voice,
            speed=self.speed,
            language=utterance.language,
            stream=self.stream,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRecord:
    """The record of one request; its `position` is its number. Times in ns.

    `intended_ns` counts from the load's beginning. `waited_ns` is the wait for a free place. `lag_ns` is the client's
    own delay of the start; it is part of the latency.
    """

    repetition: Repetition
    user: int
    intended_ns: int
    waited_ns: int
    lag_ns: int


@dataclass(slots=True, kw_only=True)
class RequestTrace:
    """The raw stamps of one request, in ns on the clock. `ready_ns` is the earliest possible start."""

    number: int
    user: int
    intended_ns: int
    ready_ns: int
    sent_ns: int = 0
    end_ns: int = 0
    connect: tuple[int, int] | None = None
    first_byte_ns: int | None = None
    chunks: list[AudioChunk] = field(default_factory=list)
    outcome: Outcome = VALID
    resident: int | None = None
    """Resident memory of the server's process tree at the end of the request, in bytes."""

    @property
    def frames(self) -> int:
        """The number of audio frames received."""
        return sum(len(chunk.audio) for chunk in self.chunks)


class RecordBuilder:
    """Builds the records of one load, which began at `began_ns` on the clock and `began_at` (s since the epoch)."""

    def __init__(self, workload: Workload, *, sample_rate: int, keep: KeepAudio | None = None) -> None:
        self._sample_rate = sample_rate
        self._workload = workload
        self._keep = keep
        self.began_ns = 0
        self.began_at = 0.0

    def __call__(self, trace: RequestTrace, utterance: Utterance) -> LoadRecord:
        """Extract the audio's features, check its validity and build the record without the audio."""
        audio, outcome = None, trace.outcome
        chunks = [chunk.audio for chunk in trace.chunks]
        if outcome.valid:
            audio = extract(chunks, self._sample_rate)
            outcome = self._check(audio, utterance)
            if self._keep is not None:
                self._keep(trace.number, chunks)
        start = trace.intended_ns
        connect = trace.connect
        repetition = Repetition(
            scenario_id=self._workload.scenario_id,
            launch=0,
            block=0,
            position=trace.number,
            phase=Phase.MEASURED,
            variant=utterance.variant,
            characters=utterance.characters,
            started_at=self.began_at + (start - self.began_ns) / 1e9,
            end_ns=trace.end_ns - start,
            chunks=tuple(ChunkMark(at_ns=chunk.at_ns - start, frames=len(chunk.audio)) for chunk in trace.chunks),
            stages=(StageMark(stage="connect", start_ns=connect[0] - start, end_ns=connect[1] - start),)
            if connect
            else (),
            first_byte_ns=trace.first_byte_ns - start if trace.first_byte_ns is not None else None,
            memory=Memory(rss_after=trace.resident),
            audio=audio,
            outcome=outcome,
            lag_ns=trace.sent_ns - trace.ready_ns,
        )
        return LoadRecord(
            repetition=repetition,
            user=trace.user,
            intended_ns=start - self.began_ns,
            waited_ns=trace.ready_ns - start,
            lag_ns=trace.sent_ns - trace.ready_ns,
        )

    def _check(self, audio: AudioFeatures, utterance: Utterance) -> Outcome:
        band, speed = self._workload.band(utterance), self._workload.speed
        return check(
            audio,
            characters=utterance.characters,
            band=Band(low=band.low / speed, high=band.high / speed),
            expected_sample_rate=self._sample_rate,
        )


def histogram(lag_ns: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(lag in steps of 0.1 ms, count), sorted by lag."""
    return tuple(sorted(Counter(round(lag / LAG_STEP_NS) for lag in lag_ns).items()))
