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
from harness.measure.worker.worker import Worker, do_nothing


def serve(worker: Worker, lines: Iterator[bytes], answers: BinaryIO) -> None:
    """Answer line after line until the conductor closes the stream."""
    for line in lines:
        try:
            order = read_order(line)
        except ValueError as error:
            answer = Answer(error=str(error))
        else:
            answer = worker.answer(order)
        answers.write(_encode(answer))
        answers.flush()
    worker.close()


def _encode(answer: Answer) -> bytes:
    """Encode an answer. If the engine put an invalid value into a field, encode an error instead."""
    try:
        return write_answer(answer)
    except ValueError as error:
        return write_answer(Answer(error=f"the answer cannot be encoded: {error}"))


def main() -> None:
    """Serve the protocol on the standard streams."""
    from harness.measure.worker.engine_clocks import replace_clocks
    from harness.measure.worker.pause import PausableClock, inherit_ledger
    from harness.measure.worker.probes import SystemProbes

    ledger = inherit_ledger()
    clock = PausableClock(ledger) if ledger else SystemClock()
    # Libraries may print to standard output, so the protocol uses its own descriptor.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    greeting = Greeting(protocol=PROTOCOL, pid=os.getpid(), python=platform.python_version(), halts=ledger is not None)
    answers.write(write_answer(Answer(greeting=greeting)))
    answers.flush()
    before_load = partial(replace_clocks, ledger) if ledger else do_nothing
    worker = Worker(clock=clock, probes=SystemProbes(clock, ledger), before_load=before_load)
    serve(worker, iter(sys.stdin.buffer.readline, b""), answers)
