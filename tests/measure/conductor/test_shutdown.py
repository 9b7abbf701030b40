"""Being asked to end, by real signals to this process."""

import os
import signal
import threading

import pytest

from harness.measure.conductor.shutdown import GracefulShutdown, ShutdownRequested

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    # The handler runs between two steps of the interpreter.
    for _ in range(1_000):
        pass


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "ended by Ctrl-C")]
)
def test_both_signals_end_in_the_same_way(number: int, reason: str) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, GracefulShutdown():
        send(number)
    assert isinstance(caught.value, ShutdownRequested)
    assert (caught.value.reason, caught.value.in_order) == (reason, False)
    assert signal.getsignal(number) is before


def test_what_is_held_is_done_first() -> None:
    done = []

    def work() -> None:
        with GracefulShutdown() as ending:
            with ending.held():
                send(signal.SIGTERM)
                with ending.held():
                    done.append("inner")
                done.append("outer")
            done.append("never")

    with pytest.raises(ShutdownRequested):
        work()
    assert done == ["inner", "outer"]


def test_after_its_time_limit_a_run_ends_in_order() -> None:
    with pytest.raises(ShutdownRequested) as caught, GracefulShutdown(until=100.0, wall=lambda: 100.0):
        send(signal.SIGTERM)
    assert (caught.value.reason, caught.value.in_order) == ("its time limit was reached", True)
    with pytest.raises(ShutdownRequested) as caught, GracefulShutdown(until=100.0, wall=lambda: 50.0):
        send(signal.SIGTERM)
    assert not caught.value.in_order


def test_a_manager_may_ask_twice_and_a_person_is_heard_again() -> None:
    def ask() -> None:
        with GracefulShutdown():
            try:
                send(signal.SIGTERM)
            except ShutdownRequested:
                send(signal.SIGTERM)
                send(signal.SIGINT)

    with pytest.raises(ShutdownRequested, match="Ctrl-C"):
        ask()


def test_in_another_thread_it_does_nothing() -> None:
    seen = []

    def work() -> None:
        with GracefulShutdown():
            seen.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
