"""Compares a mock server's script with the client's measurements.

    python -m benchmarks.endpoint_truth [--streams 1,32,200] [--seconds 10] [--json]

The server is a separate process, and every stream is a user of a closed loop. A value is within tolerance if it differs
by at most max(2 ms, 1 %) from the script and, "by log", from the server's log, whose clock both share. The tables also
show the client's own lag. The first row is a worker's engine, which uses a blocking socket. Connections are opened
before the first request.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.kept_figures import keep
from benchmarks.orders import load_client, synthesis_of
from harness.core.clock import SystemClock
from harness.core.event_loop import run
from harness.core.records.repetition import ChunkMark, Repetition
from harness.core.records.scenario import Utterance
from harness.engines.protocol import EngineOrder
from harness.measure.load.arrivals import constant
from harness.measure.load.client import LoadResult
from harness.measure.load.loops import closed_loop, open_loop
from harness.measure.worker.probes import SystemProbes
from harness.measure.worker.protocol import LoadOrder
from harness.measure.worker.worker import Worker
from harness.metrics import playback
from harness.metrics.audio.onset import onset_frame
from harness.server.mock.script import Script
from harness.server.mock.script_file import find_script
from harness.server.mock.sound import tone
from harness.server.mock.timeline import ReceivedRequest, timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT = "The quick brown fox jumps over the lazy dog, and then rests."
TEXTS = 10_000
"""Texts of the loads; the engine's texts come after them."""
SERVER = "from harness.cli.mock_server import mock_server; mock_server()"
PACED = """
meaning = "a primer, speech at five quarters of its speed, and one stop in the middle"
[[answers]]
steps = [
  { wait_ms = 20 }, { silence_ms = 50 }, { wait_ms = 250 },
  { repeat = 8, steps = [{ audio_ms = 250 }, { wait_ms = 200 }] },
  { wait_ms = 1200 },
  { repeat = 8, steps = [{ audio_ms = 250 }, { wait_ms = 200 }] },
]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One value: the script's value in ms, and the errors of the measurements."""

    streams: str
    figure: str
    script_ms: float
    median_ms: float
    error_p50_ms: float
    error_p99_ms: float
    error_max_ms: float
    within: float
    within_log: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """The server's actual times, in ns on the machine's monotonic clock."""

    asked_ns: int
    sent_ns: tuple[int, ...]

    def as_seen(self, seen: "Seen") -> "Seen":
        """The observation of a client without delay."""
        sent = [at - seen.intended_ns for at in self.sent_ns]
        chunks = tuple(replace(mark, at_ns=at) for mark, at in zip(seen.chunks, sent, strict=False))
        return replace(seen, chunks=chunks, first_byte_ns=sent[0])


def text_of(number: int) -> str:
    """Each request has its own text, all of equal length, which identifies it in the server's log."""
    return f"Number {number:05}. {TEXT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One answer. Times in ns: `chunks`, `first_byte_ns` from the intended start, `intended_ns` on the clock."""

    text: str
    chunks: tuple[ChunkMark, ...]
    onset: int
    first_byte_ns: int
    intended_ns: int


@cache
def expected(script: Script, text: str) -> Seen:
    """The observation of a perfect client of a perfect server without network delay."""
    asked = ReceivedRequest(texts=(text,), container="pcm", stream=True)
    sounding = [each for each in timeline(script.answer(0), asked) if each.frames]
    chunks = tuple(ChunkMark(at_ns=round(each.at_ms * 1e6), frames=each.frames) for each in sounding)
    silent, first = chunks[0].frames, chunks[1].frames
    sound = np.concatenate([np.zeros(silent, np.float32), tone((text,), first=0, frames=first, sample_rate=24_000)])
    onset = onset_frame(sound, 24_000)
    if onset is None:
        raise SystemExit("the script has no audible beginning")
    return Seen(text=text, chunks=chunks, onset=onset, first_byte_ns=chunks[0].at_ns, intended_ns=0)


def figures(seen: Seen) -> dict[str, float]:
    """The metrics of one stream, in ms."""
    played = playback.play(seen.chunks, 24_000)
    stalls, first_audio_s = played.stalls, playback.ttfa(played, onset_frame=seen.onset).value
    read = {
        "ttfb": seen.first_byte_ns / 1e6,
        "ttfc": seen.chunks[0].at_ns / 1e6,
        "ttfa": (first_audio_s or 0.0) * 1e3,
        "stall": stalls.seconds * 1e3,
        "stops": float(stalls.count),
    }
    return read | {f"gap {k:02}": gap * 1e3 for k, gap in enumerate(playback.gaps(seen.chunks), 1)}


def seen_of(
    streams: str, script: Script, repetitions: Sequence[Repetition], *, intended_ns: Sequence[int]
) -> list[Seen]:
    """The valid answers that arrived in the script's chunks. Prints the number of the others."""
    found = [
        Seen(text=text_of(each.variant), chunks=each.chunks, onset=each.audio.onset_frame or 0,
             first_byte_ns=each.first_byte_ns or 0, intended_ns=start)
        for each, start in zip(repetitions, intended_ns, strict=True)
        if each.outcome.valid and each.audio and len(each.chunks) == len(expected(script, text_of(each.variant)).chunks)
    ]  # fmt: skip
    if len(found) < len(repetitions):
        print(f"{streams}: {len(repetitions) - len(found)} of {len(repetitions)} invalid or not in the script's chunks")
    return found


def rows(streams: str, script: Script, answers: Sequence[Seen], log: Mapping[str, Logged]) -> list[Row]:
    """The table of one number of streams. All gaps are one row; their script is the median gap."""
    values: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for seen in answers:
        truth, logged = figures(expected(script, seen.text)), figures(log[seen.text].as_seen(seen))
        for name, value in figures(seen).items():
            values[name.split()[0]].append((truth[name], logged[name], value))
    return [_row(streams, figure, *map(np.asarray, zip(*found, strict=True))) for figure, found in values.items()]


def _row(
    streams: str, figure: str, truth: "NDArray[np.float64]", logged: "NDArray[np.float64]", seen: "NDArray[np.float64]"
) -> Row:
    error = np.abs(seen - truth)
    allowed = np.maximum(2.0, 0.01 * truth) if figure != "stops" else np.zeros(len(truth))
    return Row(
        streams=streams,
        figure=figure,
        script_ms=round(float(np.median(truth)), 3),
        median_ms=round(float(np.median(seen)), 3),
        error_p50_ms=round(float(np.median(error)), 3),
        error_p99_ms=round(float(np.quantile(error, 0.99)), 3),
        error_max_ms=round(float(error.max()), 3),
        within=round(float(np.mean(error <= allowed)), 4),
        within_log=round(float(np.mean(np.abs(seen - logged) <= allowed)), 4),
        n=len(seen),
    )


def parts(script: Script, answers: Sequence[Seen], log: Mapping[str, Logged]) -> str:
    """Delays outside the script: from the client to the server, in the server, and back."""
    there, inside, back = [], [], []
    for seen in answers:
        logged = log[seen.text]
        there.append(logged.asked_ns - seen.intended_ns)
        for due, sent, chunk in zip(expected(script, seen.text).chunks, logged.sent_ns, seen.chunks, strict=False):
            inside.append(sent - logged.asked_ns - due.at_ns)
            back.append(seen.intended_ns + chunk.at_ns - sent)
    named = {"asking": there, "the server's lateness": inside, "hearing": back}
    shown = {name: np.quantile(np.asarray(found) / 1e6, [0.5, 0.99]) for name, found in named.items()}
    return "; ".join(f"{name} {p50:.2f} ms (p99 {p99:.2f})" for name, (p50, p99) in shown.items())


@contextlib.contextmanager
def server(script: str, *more: str) -> Iterator[str]:
    """Run a server in a separate process and yield its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, script, "--port", "0", *more], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker; it was asked for as a pipe
        try:
            yield process.stdout.readline().split(" at ")[1].strip()
        finally:
            process.terminate()


def by_engine(url: str, count: int) -> list[Repetition]:
    """`count` repetitions of a worker, one after the other."""
    worker = Worker(clock=SystemClock(), probes=SystemProbes())
    options = {"dialect": "openai"}
    engine = EngineOrder(engine="endpoint", url=url, voice="af_heart", session_options=options)
    worker.answer(LoadOrder(arm_id="truth", launch=0, engine=engine))
    order = synthesis_of(TEXT, stream=True)
    texts = range(TEXTS, TEXTS + count)
    found = [worker.answer(replace(order, variant=number, text=text_of(number))).repetition for number in texts]
    worker.close()
    return [each for each in found if each is not None]


def by_load(url: str, streams: int, seconds: float) -> LoadResult:
    """A closed loop of `streams` users, who start evenly over a second."""
    client = load_client(url, _texts())
    return run(closed_loop(client, users=streams, seconds=seconds, stagger_s=1.0, connections=streams))


def _texts() -> list[Utterance]:
    return [Utterance(text_class="truth", variant=number, text=text_of(number), language="") for number in range(TEXTS)]


def _lag(result: LoadResult) -> str:
    lag = np.asarray(result.lag_ns) / 1e6
    p50, p99 = np.quantile(lag, [0.5, 0.99])
    return f"the client's lag: median {p50:.2f} ms, p99 {p99:.2f} ms, max {lag.max():.2f} ms (n = {len(lag)})"


def read_log(path: Path) -> dict[str, Logged]:
    """The server's log so far, by text. For a repeated text it holds the last answer."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        each["text"]: Logged(asked_ns=each["asked_ns"], sent_ns=tuple(each["sent_ns"]))
        for each in lines
        if each["kind"] == "answer"
    }


def _frozen(seconds: float) -> None:
    """Measure a server that freezes for 1 s under 50 requests per second."""
    with server("frozen") as url:
        result = run(open_loop(load_client(url, _texts()), starts_ns=constant(50, seconds)))
    ttfc = [each.chunks[0].at_ns / 1e6 for each in result.repetitions if each.outcome.valid]
    p50, p99 = np.quantile(ttfc, [0.5, 0.99])
    keep("frozen for 1 s, 50/s: ttfc p99", float(p99), "ms", least=900)
    print(f"frozen for 1 s, 50/s open: ttfc median {p50:.0f} ms, p99 {p99:.0f} ms (n = {len(ttfc)}); {_lag(result)}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", default="1,32,200")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    table: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "paced.toml"
        path.write_text(PACED, encoding="utf-8")
        script, log = find_script(str(path)), Path(place) / "log.jsonl"
        with server(str(path), "--log", str(log)) as url:
            spoken = by_engine(url, max(3, round(given.seconds / 4.7)))
            # A worker's repetitions only have a date; over some seconds both clocks agree.
            apart = time.time() - time.perf_counter()
            starts = [round((each.started_at - apart) * 1e9) for each in spoken]
            table += rows("engine", script, seen_of("engine", script, spoken, intended_ns=starts), read_log(log))
            for streams in map(int, given.streams.split(",")):
                result = by_load(url, streams, given.seconds)
                starts = [result.began_ns + each.intended_ns for each in result.load_records]
                seen, logged = seen_of(str(streams), script, result.repetitions, intended_ns=starts), read_log(log)
                table += rows(str(streams), script, seen, logged)
                keep(f"{streams} streams: lag p99", float(np.quantile(result.lag_ns, 0.99)) / 1e6, "ms", most=20)
                print(f"{streams} streams: {parts(script, seen, logged)}; {_lag(result)}")
    _frozen(10.0)
    if given.json:
        print(json.dumps([asdict(row) for row in table], indent=1))
        return
    print(
        f"{'streams':>7} {'figure':<6} {'script':>9} {'measured':>9} {'|error| p50':>11} "
        f"{'p99':>7} {'max':>7} {'within':>7} {'by log':>7} {'n':>6}"
    )
    for row in table:
        print(
            f"{row.streams:>7} {row.figure:<6} {row.script_ms:>9.2f} {row.median_ms:>9.2f} {row.error_p50_ms:>11.2f} "
            f"{row.error_p99_ms:>7.2f} {row.error_max_ms:>7.2f} {row.within:>7.1%} {row.within_log:>7.1%} {row.n:>6}"
        )


if __name__ == "__main__":
    main()
