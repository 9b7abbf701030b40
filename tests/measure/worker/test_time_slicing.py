"""Two real workers that speak at the same time, in slices."""

import time
from collections.abc import Iterator

import psutil
import pytest

from harness.core.clock import ScriptedClock
from harness.core.records.repetition import OutcomeKind, Repetition
from harness.engines.scripted import SECONDS_PER_CHARACTER
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.pause import SUPPORTED
from harness.measure.worker.place import HERE
from harness.measure.worker.scripted_handle import ScriptedHandle
from harness.measure.worker.time_slicing import (
    SlicedSynthesis,
    as_pausable,
    can_pause,
    synthesise_in_parallel,
    synthesise_in_slices,
)
from harness.measure.worker.worker_lost import WorkerLost
from tests.measure.requests_sent import LONG, PATIENCE_S, SHORT, load_order, speak_order

PACE = "2"
"""A text takes some 0.3 s: several turns."""
INFERENCE_NS = round(float(PACE) * 0.2 * SECONDS_PER_CHARACTER * SHORT * 1e9)
"""How long the script waits within its inference."""

needs_halts = pytest.mark.skipif(not SUPPORTED, reason="only Linux kills a halted worker whose conductor has ended")


@pytest.fixture
def workers() -> Iterator[tuple[ProcessHandle, ProcessHandle]]:
    pair = ProcessHandle(HERE), ProcessHandle(HERE)
    yield pair
    for each in pair:
        each.close()


def synthesise(
    workers: tuple[ProcessHandle, ProcessHandle], characters: int = SHORT, *, timeout_s: float = PATIENCE_S
) -> tuple[Repetition | WorkerLost, ...]:
    one, other = (SlicedSynthesis(worker=as_pausable(each), order=speak_order(characters)) for each in workers)
    return synthesise_in_slices((one, other), slice_s=0.025, timeout_s=timeout_s)


def inference_ns(spoken: Repetition) -> int:
    return sum(mark.end_ns - mark.start_ns for mark in spoken.stages if mark.stage == "inference")


def require_repetition(found: Repetition | WorkerLost) -> Repetition:
    assert isinstance(found, Repetition)
    assert found.outcome.valid
    return found


def test_a_scripted_worker_has_no_process_to_halt() -> None:
    assert not can_pause(ScriptedHandle(ScriptedClock()))


@needs_halts
def test_each_is_timed_as_if_it_had_been_alone(workers: tuple[ProcessHandle, ProcessHandle]) -> None:
    """Neither loses anything of the script's waits to a halt, nor has any of the other's time."""
    assert all(map(can_pause, workers))
    for each in workers:
        each.load(load_order(pace=PACE), timeout_s=PATIENCE_S)
    began_ns = time.perf_counter_ns()
    both = [require_repetition(found) for found in synthesise(workers)]
    assert sum(each.end_ns for each in both) <= time.perf_counter_ns() - began_ns
    for each in both:
        assert each.chunks[-1].at_ns <= each.end_ns
        assert inference_ns(each) >= INFERENCE_NS
        assert all(mark.end_ns <= each.end_ns for mark in each.stages)


@needs_halts
def test_a_planted_delay_is_in_time_of_its_own(workers: tuple[ProcessHandle, ProcessHandle]) -> None:
    workers[0].load(load_order(pace=PACE), timeout_s=PATIENCE_S)
    workers[1].load(load_order(pace=PACE, slowdown=1.0), timeout_s=PATIENCE_S)
    began_ns = time.perf_counter_ns()
    plain, slowed = map(require_repetition, synthesise(workers))
    assert plain.end_ns + slowed.end_ns <= time.perf_counter_ns() - began_ns
    assert inference_ns(plain) >= INFERENCE_NS
    assert inference_ns(slowed) >= 2 * INFERENCE_NS


@needs_halts
def test_who_crashes_costs_itself_alone(workers: tuple[ProcessHandle, ProcessHandle]) -> None:
    workers[0].load(load_order(pace=PACE, fault="crash"), timeout_s=PATIENCE_S)
    workers[1].load(load_order(pace=PACE), timeout_s=PATIENCE_S)
    lost, found = synthesise(workers, LONG)
    assert isinstance(lost, WorkerLost)
    assert lost.kind is OutcomeKind.CRASHED
    require_repetition(found)


@needs_halts
def test_who_hangs_is_killed_and_the_other_is_heard(workers: tuple[ProcessHandle, ProcessHandle]) -> None:
    workers[0].load(load_order(), timeout_s=PATIENCE_S)
    workers[1].load(load_order(fault="hang"), timeout_s=PATIENCE_S)
    found, lost = synthesise(workers, LONG, timeout_s=2.0)
    require_repetition(found)
    assert isinstance(lost, WorkerLost)
    assert lost.kind is OutcomeKind.TIMEOUT
    assert "2 s" in lost.reason


@needs_halts
def test_a_worker_that_has_ended_is_lost(workers: tuple[ProcessHandle, ProcessHandle]) -> None:
    for each in workers:
        each.load(load_order(pace=PACE), timeout_s=PATIENCE_S)
    psutil.Process(workers[0].pid).kill()
    lost, found = synthesise(workers)
    assert isinstance(lost, WorkerLost)
    require_repetition(found)


def at_once(workers: tuple[ProcessHandle, ProcessHandle], *, timeout_s: float) -> tuple[Repetition | WorkerLost, ...]:
    one, other = (SlicedSynthesis(worker=as_pausable(each), order=speak_order(LONG)) for each in workers)
    return synthesise_in_parallel((one, other), timeout_s=timeout_s)


@needs_halts
def test_both_work_at_once_and_who_hangs_is_killed(workers: tuple[ProcessHandle, ProcessHandle]) -> None:
    """The first is waited for until no time is left for the second, which has answered meanwhile."""
    workers[0].load(load_order(fault="hang"), timeout_s=PATIENCE_S)
    workers[1].load(load_order(), timeout_s=PATIENCE_S)
    lost, found = at_once(workers, timeout_s=2.0)
    require_repetition(found)
    assert isinstance(lost, WorkerLost)
    assert lost.kind is OutcomeKind.TIMEOUT
