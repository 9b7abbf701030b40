"""The record that is made of an answer of a load: known stamps in, known figures out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.core.records.repetition import ChunkMark, Memory, Outcome, OutcomeKind, Phase, StageMark
from harness.core.records.scenario import Band, Utterance
from harness.engines.http.exchange import AudioChunk
from harness.measure.load.records import RecordBuilder, RequestTrace, Workload, histogram
from harness.metrics.audio.features import extract
from harness.server.mock.sound import tone

RATE = 24_000
TEXT = Utterance(text_class="c", variant=3, text="Ten chars.")
SOUND = tone([TEXT.text], first=0, frames=16_800, sample_rate=RATE)
FAULT = Outcome(kind=OutcomeKind.ERROR, reason="the connection was closed", fault="closed")


def judge(*, speed: float = 1.0, rate: int = RATE, kept: list[tuple[int, int]] | None = None) -> RecordBuilder:
    """Of a load that began at 1,000 ns on the clock, 50 s after the epoch; 0.06 to 0.08 s a character are plausible."""

    def keep(number: int, chunks: Sequence[NDArray[np.float32]]) -> None:
        assert kept is not None
        kept.append((number, sum(map(len, chunks))))

    workload = Workload(
        scenario_id="a/load", utterances=(TEXT,), band=lambda _: Band(low=0.06, high=0.08), voice="v", speed=speed
    )
    made = RecordBuilder(workload, sample_rate=rate, keep=None if kept is None else keep)
    assert (made.began_ns, made.began_at) == (0, 0.0)
    made.began_ns, made.began_at = 1_000, 50.0
    return made


def trace(*, outcome: Outcome | None = None, sound: NDArray[np.float32] = SOUND) -> RequestTrace:
    """Due 2 s after the load's beginning, free to begin 300 ns later and begun 40 ns after that."""
    start = 2_000_001_000
    made = RequestTrace(number=7, user=5, intended_ns=start, ready_ns=start + 300)
    assert (made.sent_ns, made.end_ns, made.connect, made.first_byte_ns, made.frames) == (0, 0, None, None, 0)
    made.sent_ns, made.connect, made.first_byte_ns = start + 340, (start + 340, start + 500), start + 600
    made.chunks += [
        AudioChunk(at_ns=start + 700, audio=sound[:4_800]),
        AudioChunk(at_ns=start + 900, audio=sound[4_800:]),
    ]
    made.end_ns, made.resident = start + 950, 123_456
    made.outcome = outcome or made.outcome
    return made


def test_a_record_counts_from_the_intended_start() -> None:
    kept: list[tuple[int, int]] = []
    found = judge(kept=kept)(trace(), TEXT)
    assert (found.user, found.intended_ns, found.waited_ns, found.lag_ns) == (5, 2_000_000_000, 300, 40)
    record = found.repetition
    assert (record.scenario_id, record.launch, record.block, record.position) == ("a/load", 0, 0, 7)
    assert (record.phase, record.variant, record.characters) == (Phase.MEASURED, 3, 10)
    assert (record.started_at, record.first_byte_ns, record.end_ns, record.lag_ns) == (52.0, 600, 950, 40)
    assert record.chunks == (ChunkMark(at_ns=700, frames=4_800), ChunkMark(at_ns=900, frames=12_000))
    assert record.stages == (StageMark(stage="connect", start_ns=340, end_ns=500),)
    assert record.memory == Memory(rss_after=123_456)
    assert record.audio == extract([SOUND], RATE)
    assert record.outcome.valid
    assert kept == [(7, 16_800)]


def test_what_is_not_known_is_not_made_up() -> None:
    answer = trace()
    answer.connect = answer.first_byte_ns = answer.resident = None
    record = judge()(answer, TEXT).repetition
    assert (record.stages, record.first_byte_ns, record.memory) == ((), None, Memory())
    assert record.outcome.valid


def test_what_failed_keeps_its_outcome_and_its_chunks_and_its_audio_is_not_looked_at() -> None:
    kept: list[tuple[int, int]] = []
    record = judge(kept=kept)(trace(outcome=FAULT), TEXT).repetition
    assert (record.outcome, record.audio, kept) == (FAULT, None, [])
    assert len(record.chunks) == 2


def test_audio_that_is_implausible_is_no_valid_answer() -> None:
    short = judge()(trace(sound=SOUND[:12_000]), TEXT).repetition
    assert short.outcome.kind is OutcomeKind.INVALID_AUDIO
    assert short.outcome.reason == (
        "The audio is too short: 0.50 s, where 0.60 s to 0.80 s are plausible for 10 characters."
    )
    assert short.audio is not None
    assert short.audio.frames == 12_000


def test_what_is_plausible_goes_with_the_speed() -> None:
    assert judge(speed=0.9)(trace(), TEXT).repetition.outcome.valid
    fast = judge(speed=2.0)(trace(), TEXT).repetition.outcome
    assert "too long: 0.70 s, where 0.30 s to 0.40 s are plausible" in fast.reason
    slow = judge(speed=0.5)(trace(), TEXT).repetition.outcome
    assert "too short: 0.70 s, where 1.20 s to 1.60 s are plausible" in slow.reason


def test_audio_is_judged_at_the_servers_sample_rate() -> None:
    found = judge(rate=12_000)(trace(), TEXT).repetition
    assert "too long: 1.40 s" in found.outcome.reason
    assert found.audio is not None
    assert found.audio.sample_rate == 12_000


def test_texts_come_from_the_beginning_again() -> None:
    texts = tuple(Utterance(text_class="c", variant=number, text="x" * (number + 1)) for number in range(3))
    asked = Workload(scenario_id="s", utterances=texts, band=lambda _: Band(low=0, high=1), voice="v")
    assert [asked.utterance(number).variant for number in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert (asked.speed, asked.stream) == (1.0, True)


def test_lateness_is_counted_in_steps_of_a_tenth_of_a_millisecond() -> None:
    lag_ns = [0, 40_000, 60_000, 149_999, 1_000_000, 1_040_000, 250_000_000]
    assert histogram(lag_ns) == ((0, 2), (1, 2), (10, 2), (2_500, 1))
    assert histogram([]) == ()
