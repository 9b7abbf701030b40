"""What is promised of many requests at once, on records that are made up."""

from dataclasses import replace

from harness.core.records.repetition import (
    ChunkMark,
    EngineCounters,
    Outcome,
    OutcomeKind,
    Phase,
    Repetition,
)
from harness.measure.load.invariants import check_invariants

FAILED = Outcome(kind=OutcomeKind.ERROR, reason="failed", fault="failed")


def crowd(*waits_s: float, account: EngineCounters | None, outcome: Outcome | None = None) -> list[Repetition]:
    """A request for each wait until its first chunk."""
    return [
        Repetition(
            scenario_id="s", launch=0, block=0, position=number, phase=Phase.MEASURED, variant=number, characters=12,
            started_at=1.0, end_ns=round(wait * 1e9), chunks=(ChunkMark(at_ns=round(wait * 1e9), frames=100),),
            account=account, outcome=outcome or Outcome(),
        )
        for number, wait in enumerate(waits_s)
    ]  # fmt: skip


def faults(repetitions: list[Repetition], *, texts: int) -> list[str]:
    return [each.outcome.fault for each in check_invariants(repetitions, texts=texts)]


def test_who_is_served_in_turn_does_not_starve() -> None:
    in_turn = crowd(*(float(place) for place in range(1, 33)), account=EngineCounters())
    assert faults(in_turn, texts=32) == [""] * 32


def test_who_waits_more_than_four_times_the_median_is_starved() -> None:
    (*_, last) = check_invariants(crowd(1.0, 2.0, 2.0, 8.1, account=EngineCounters()), texts=4)
    assert (last.outcome.kind, last.outcome.fault) == (OutcomeKind.BROKEN_PROMISE, "starved")
    assert last.outcome.reason == "This user waited 8.10 s for sound; the median of all 4 is 2.00 s."
    assert faults(crowd(1.0, 2.0, 2.0, 8.0, account=EngineCounters()), texts=4) == [""] * 4


def test_an_empty_chunk_ends_no_wait() -> None:
    waited = [
        replace(each, chunks=(ChunkMark(at_ns=0, frames=0), *each.chunks))
        for each in crowd(1.0, 2.0, 2.0, 8.1, account=EngineCounters())
    ]
    assert faults(waited, texts=4) == ["", "", "", "starved"]
    early = [replace(waited[0], chunks=(ChunkMark(at_ns=0, frames=0), *waited[2].chunks[1:])), *waited[1:3]]
    assert faults(early, texts=3) == [""] * 3
    soundless = [replace(each, chunks=each.chunks[:1]) for each in waited]
    assert faults(soundless, texts=4) == [""] * 4


def test_of_an_engine_without_accounts_nothing_is_promised() -> None:
    assert faults(crowd(1.0, 1.0, 1.0, 90.0, account=None), texts=4) == [""] * 4
    assert check_invariants([], texts=0) == []


def test_who_finds_the_answer_there_does_not_make_others_starve() -> None:
    assert (
        faults(crowd(0.1, 0.1, 0.1, 2.0, account=EngineCounters(hits=3, misses=1, cache_limit=9)), texts=4) == [""] * 4
    )


def test_equal_requests_are_computed_once() -> None:
    once = EngineCounters(hits=10, joined=52, misses=2, cache_limit=100)
    assert faults(crowd(*[1.0] * 32, account=once), texts=1) == [""] * 32
    again = EngineCounters(hits=10, joined=51, misses=3, cache_limit=100)
    (first, *others) = check_invariants(crowd(*[1.0] * 32, account=again), texts=1)
    assert first.outcome.reason == "32 equal requests of 2 segments computed 3 segments, not 2 at most."
    assert {each.outcome.fault for each in (first, *others)} == {"computed-again"}


def test_without_a_cache_equal_requests_may_be_computed_again() -> None:
    assert faults(crowd(1.0, 1.0, 1.0, account=EngineCounters(misses=3)), texts=1) == [""] * 3


def test_a_cache_keeps_to_its_bound() -> None:
    over = EngineCounters(misses=2, cache_bytes=1_001, cache_limit=1_000)
    (first, second) = check_invariants(crowd(1.0, 1.0, account=over), texts=2)
    assert first.outcome.reason == "The cache holds 1,001 B, more than its bound of 1,000 B."
    assert first.outcome.fault == second.outcome.fault == "cache-bound"


def test_what_failed_keeps_its_own_reason() -> None:
    again = EngineCounters(misses=2, cache_limit=100)
    assert faults(crowd(1.0, 1.0, account=again, outcome=FAILED), texts=1) == ["failed", "failed"]
