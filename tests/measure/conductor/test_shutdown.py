"""Being asked to end, by real signals to this process."""

import importlib
import os
import signal
import sys
import threading
from pathlib import Path

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


def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, asks: int, number: int = signal.SIGTERM) -> str:
    """The name of a module that sends a signal, or more, before its last statement."""
    name = f"asks_{asks}_{int(number)}"
    (tmp_path / f"{name}.py").write_text(
        "import os, signal, time\n"
        f"for _ in range({asks}):\n    os.kill(os.getpid(), {int(number)})\n    time.sleep(0.05)\n"
        "whole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


@pytest.mark.parametrize("asks", [1, 3])
@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "ended by Ctrl-C")]
)
def test_an_import_is_never_interrupted(
    number: int, reason: str, asks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, after = importing(tmp_path, monkeypatch, asks=asks, number=number), []

    def work() -> None:
        with GracefulShutdown() as ending:
            after.append(importlib.import_module(name).whole)
            after.append(ending.requested)
            threading.Event().wait(10)
            after.append("not ended")

    with pytest.raises(ShutdownRequested, match=reason):
        work()
    assert after == [True, True]


def test_what_is_held_after_an_import_is_done_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, done = importing(tmp_path, monkeypatch, asks=1), []

    def work() -> None:
        with GracefulShutdown() as ending, ending.held():
            importlib.import_module(name)
            threading.Event().wait(0.2)
            done.append(True)

    with pytest.raises(ShutdownRequested):
        work()
    assert done == [True]


def test_a_request_during_the_last_import_is_raised_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.measure.conductor.shutdown._IMPORT_POLL_S", 0.5)
    name = importing(tmp_path, monkeypatch, asks=1)
    with pytest.raises(ShutdownRequested, match="SIGTERM"), GracefulShutdown():
        importlib.import_module(name)


def test_in_another_thread_it_does_nothing() -> None:
    seen = []

    def work() -> None:
        with GracefulShutdown():
            seen.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
