"""The worker's process: reads orders from standard input and writes one answer per line."""

import os
import platform
import sys
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from harness.core.clock import SystemClock
from harness.measure.worker.protocol import (
    PROTOCOL,
    Answer,
    Greeting,
    read_order,
    write_answer,
)
from harness.measure.worker.worker import Worker, nothing


def serve(worker: Worker, lines: Iterator[bytes], answers: BinaryIO) -> None:
    """Answer line after line until the conductor closes the stream."""
    for line in lines:
        try:
            order = read_order(line)
        except ValueError as error:
            said = Answer(error=str(error))
        else:
            said = worker.answer(order)
        answers.write(_written(said))
        answers.flush()
    worker.close()


def _written(answer: Answer) -> bytes:
    """The answer's line, or that of an error where the engine put something into a field that it cannot hold."""
    try:
        return write_answer(answer)
    except ValueError as error:
        return write_answer(Answer(error=f"it cannot answer: {error}"))


def main() -> None:
    """Speak the protocol on the standard streams."""
    from harness.measure.worker.engine_clocks import follow
    from harness.measure.worker.pause import PausableClock, inherited
    from harness.measure.worker.probes import SystemProbes

    account = inherited()
    clock = PausableClock(account) if account else SystemClock()
    # Libraries print where they like; the protocol keeps a descriptor of its own.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    greeting = Greeting(protocol=PROTOCOL, pid=os.getpid(), python=platform.python_version(), halts=account is not None)
    answers.write(write_answer(Answer(greeting=greeting)))
    answers.flush()
    before_load = partial(follow, account) if account else nothing
    worker = Worker(clock=clock, probes=SystemProbes(clock, account), before_load=before_load)
    serve(worker, iter(sys.stdin.buffer.readline, b""), answers)
