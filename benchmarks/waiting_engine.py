"""An engine with a known amount of work and known waits: it computes in pieces, with a delay after each piece.

It is installed under the entry point `kokoro_bench.engines` (see `waiting_engines.installed`). It shows how a way of
measuring treats a delay of a known share. Its options:

- ``wait``: the kind of delay: ``none``, ``sleep``, ``spin`` (a loop that reads `time.perf_counter`), ``cpu`` (a loop
  that reads the thread's CPU time) or ``socket`` (an answer from ``peer``, a `Peer`);
- ``share``: the length of the delay as a ratio to the piece before it, by the engine's own `time.perf_counter`, or by
  its thread's CPU time for ``cpu``;
- ``work``: the amount of work, in units of about a millisecond, and ``pieces``, the number of pieces;
- ``after``: the number of texts that are synthesised without a delay at the beginning.

With a model it is the engine `kokoro` with such a delay in each `session.run`.
"""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineFacts
from harness.engines.protocol import Engine, EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

SAMPLE_RATE = 24_000
SECONDS_PER_CHARACTER = 0.07

Wait = Callable[[float], None]
"""Waits for the given number of seconds."""


class Peer(socketserver.ThreadingTCPServer):
    """Answers each line with one byte. The line states after how many seconds."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)

    @property
    def address(self) -> str:
        """The address for the engine's option ``peer``."""
        return f"127.0.0.1:{self.server_address[1]}"

    def begin(self) -> None:
        """Serve in a new thread until `shutdown`."""
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Answering(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            time.sleep(float(line))
            self.wfile.write(b".")


class WaitingEngine:
    """The engine: computes, and waits after each piece."""

    def __init__(
        self, *, work: int, pieces: int, after: int, delayed: Callable[[Callable[[], None]], None], stages: Stages
    ) -> None:
        import numpy as np

        self._pieces = pieces
        self._each = max(1, work // pieces)
        self._delayed = delayed
        self._stages = stages
        self._numbers = np.linspace(0.0, 1.0, 100_000)
        self._after = after
        self.facts = EngineFacts(sample_rate=SAMPLE_RATE, python="waiting")

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Yield a tone after the work of all pieces."""
        import numpy as np

        self._after -= 1
        for _ in range(self._pieces):
            with self._stages.stage("inference"):
                if self._after < 0:
                    self._delayed(self._compute)
                else:
                    self._compute()
        frames = round(len(request.text) * SECONDS_PER_CHARACTER / request.speed * SAMPLE_RATE)
        yield (0.14 * np.sin(2 * np.pi * 220 / SAMPLE_RATE * np.arange(frames))).astype(np.float32)

    def close(self) -> None:
        """There is nothing to release."""

    def _compute(self) -> None:
        import numpy as np

        for _ in range(self._each):
            np.sqrt(np.sin(self._numbers))


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> Engine:
    """Start the engine with the options of the order. Raises EngineRefusal for an invalid option."""
    options = dict(order.session_options)
    kind = options.get("wait", "none")
    # A wait is a share of the piece, by the clock of the wait.
    now = time.thread_time if kind == "cpu" else time.perf_counter
    try:
        wait = _waits(options.get("peer", ""))[kind]
        share, work = float(options.get("share", "0")), int(options.get("work", "60"))
        pieces, after = int(options.get("pieces", "12")), int(options.get("after", "0"))
    except (KeyError, ValueError) as error:
        raise EngineRefusal(f"the waiting engine has no such option: {error}") from error

    def delayed(piece: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the piece gives
        began = now()
        given = piece()
        wait((now() - began) * share)
        return given

    if not order.model_path:
        return WaitingEngine(work=work, pieces=pieces, after=after, delayed=delayed, stages=stages)
    import onnxruntime

    from harness.engines.kokoro import engine

    run = onnxruntime.InferenceSession.run

    def slow(self: Any, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - onnxruntime's own
        return delayed(lambda: run(self, *given, **named))

    onnxruntime.InferenceSession.run = slow
    return engine.start(replace(order, session_options={}), clock=clock, stages=stages)


def _waits(peer: str) -> dict[str, Wait]:
    return {
        "none": lambda _seconds: None,
        "sleep": lambda seconds: time.sleep(seconds),  # noqa: PLW0108 - what stands in `time` by then
        "spin": lambda seconds: _spin(seconds, time.perf_counter),
        "cpu": lambda seconds: _spin(seconds, time.thread_time),
        "socket": _Line(peer).wait,
    }


def _spin(seconds: float, now: Callable[[], float]) -> None:
    until = now() + seconds
    while now() < until:
        pass


class _Line:
    """A connection to the peer, opened at its first use."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._socket: socket.socket | None = None

    def wait(self, seconds: float) -> None:
        if self._socket is None:
            host, _, port = self._peer.rpartition(":")
            self._socket = socket.create_connection((host, int(port)))
        self._socket.sendall(f"{seconds:.6f}\n".encode())
        self._socket.recv(1)
