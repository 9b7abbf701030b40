"""Windows as jobs that follow one another."""

from concurrent.futures import CancelledError, Future

import numpy as np
import pytest

from harness.engines.pooled.segment_request import SegmentRequest
from harness.engines.pooled.windows.chain import WindowChain, WindowOrder

SEGMENT = SegmentRequest(phonemes="wan", style=np.zeros((510, 1, 256), dtype=np.float32), speed=1.0)
PATIENCE_S = 20.0


class Jobs:
    """What was submitted, and its futures, which the test ends."""

    def __init__(self) -> None:
        self.orders: list[WindowOrder] = []
        self.futures: list[Future[np.ndarray]] = []

    def submit(self, order: WindowOrder) -> "Future[np.ndarray]":
        self.orders.append(order)
        self.futures.append(Future())
        return self.futures[-1]

    def end(self, value: float, *, last: bool = False) -> None:
        future = self.futures[-1]
        assert future.set_running_or_notify_cancel()
        self.orders[-1].rest = None if last else object()  # type: ignore[assignment]
        future.set_result(np.full(3, value, dtype=np.float32))


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


def test_each_is_submitted_with_what_the_one_before_left_and_the_whole_is_all_of_them(jobs: Jobs) -> None:
    chain = WindowChain(jobs.submit, SEGMENT)
    assert [each.at for each in jobs.orders] == [None]
    for value in (1.0, 2.0, 3.0):
        jobs.end(value, last=value == 3.0)
    assert [part.result(PATIENCE_S)[0] for part in chain.parts()] == [1, 2, 3]
    assert [each.at for each in jobs.orders[1:]] == [each.rest for each in jobs.orders[:-1]]
    whole = chain.whole.result(PATIENCE_S)
    assert whole.tolist() == [1] * 3 + [2] * 3 + [3] * 3
    assert not whole.flags.writeable


def test_whoever_has_heard_one_finds_the_next(jobs: Jobs) -> None:
    chain = WindowChain(jobs.submit, SEGMENT)
    parts = chain.parts()
    first = next(parts)
    found: list[Future[np.ndarray]] = []
    first.add_done_callback(lambda _: found.append(next(parts)))
    jobs.end(1.0)
    assert len(found) == 1


def test_a_failure_ends_it_and_is_that_of_the_whole(jobs: Jobs) -> None:
    chain = WindowChain(jobs.submit, SEGMENT)
    jobs.end(1.0)
    jobs.futures[-1].set_exception(ValueError("the model has failed"))
    first, second = chain.parts()
    assert len(first.result(PATIENCE_S)) == 3
    for future in (second, chain.whole):
        with pytest.raises(ValueError, match="the model has failed"):
            future.result(PATIENCE_S)


@pytest.mark.parametrize("waiting", [True, False])
def test_one_that_is_cancelled_runs_no_further(jobs: Jobs, *, waiting: bool) -> None:
    chain = WindowChain(jobs.submit, SEGMENT)
    jobs.end(1.0)
    if not waiting:
        assert jobs.futures[-1].set_running_or_notify_cancel()
    assert chain.whole.cancel()
    if waiting:
        assert jobs.futures[-1].cancelled()
    else:
        jobs.futures[-1].set_result(np.zeros(3, dtype=np.float32))
    assert len(jobs.orders) == 2
    _, second = chain.parts()
    if waiting:
        with pytest.raises(CancelledError):
            second.result(PATIENCE_S)


def test_a_reader_that_has_gone_does_not_stop_the_others(jobs: Jobs) -> None:
    chain = WindowChain(jobs.submit, SEGMENT)
    assert next(chain.parts()).cancel()
    jobs.end(1.0)
    jobs.end(2.0, last=True)
    assert chain.whole.result(PATIENCE_S).tolist() == [1] * 3 + [2] * 3
