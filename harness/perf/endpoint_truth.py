"""Script against measured: the scripted server is told what to do, and the client says what it saw.

    python -m harness.perf.endpoint_truth [--streams 1,32,200] [--seconds 10] [--json]

The server is a process of its own, and every stream is a listener of a closed loop. A figure is within tolerance where
it is off by no more than max(2 ms, 1 %) of what the script says; the client's own lag stands beside it. The engine of a
worker, on its blocking socket, is the first row.
"""

import argparse
import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from harness.clock import SystemClock
from harness.engines.dialects import OPENAI
from harness.engines.target import Target, read_address, read_settings
from harness.event_loop import run
from harness.measure.arrivals import constant
from harness.measure.client import LoadResult
from harness.measure.judging import Programme
from harness.measure.load import closed_loop, open_loop
from harness.measure.messages import LoadOrder, SpeakOrder
from harness.measure.probes import SystemProbes
from harness.measure.worker import Worker
from harness.metrics import playback
from harness.metrics.onset import onset_frame
from harness.records.repetition import ChunkMark, Repetition
from harness.records.scenario import Band, Utterance
from harness.server.reading import find_script
from harness.server.script import Script
from harness.server.sound import tone
from harness.server.timeline import Asked, Sent, timeline

TEXT = "The quick brown fox jumps over the lazy dog, and then rests."
SERVER = "from harness.cli.scripted_server import scripted_server; scripted_server()"
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
    """One figure: what the script says, in ms, and how far off what was measured is."""

    streams: str
    figure: str
    script_ms: float
    median_ms: float
    error_p50_ms: float
    error_p99_ms: float
    error_max_ms: float
    within: float
    n: int


def expected(script: Script) -> tuple[ChunkMark, ...]:
    """The chunks that a perfect client sees of a perfect server."""
    asked = Asked(texts=(TEXT,), container="pcm", stream=True)
    return tuple(ChunkMark(at_ns=round(each.at_ms * 1e6), frames=each.frames) for each in _sounding(script, asked))


def _sounding(script: Script, asked: Asked) -> list[Sent]:
    return [each for each in timeline(script.answer(0), asked) if each.frames]


def figures(chunks: Sequence[ChunkMark], onset: int, first_byte_ns: int) -> dict[str, float]:
    """The figures of one stream, in ms."""
    stalls = playback.play(chunks, 24_000).stalls
    heard = playback.ttfa(chunks, 24_000, onset_frame=onset).value
    read = {
        "ttfb": first_byte_ns / 1e6,
        "ttfc": chunks[0].at_ns / 1e6,
        "ttfa": (heard or 0.0) * 1e3,
        "stall": stalls.seconds * 1e3,
        "stops": float(stalls.count),
    }
    return read | {f"gap {k:02}": gap * 1e3 for k, gap in enumerate(playback.gaps(chunks), 1)}


def rows(streams: str, script: Script, repetitions: Sequence[Repetition]) -> list[Row]:
    """The table of one number of streams. All gaps are one row; their script is the median gap."""
    truth_chunks = expected(script)
    silent, first = truth_chunks[0].frames, truth_chunks[1].frames
    sound = np.concatenate([np.zeros(silent, np.float32), tone((TEXT,), first=0, frames=first, sample_rate=24_000)])
    onset = onset_frame(sound, 24_000)
    if onset is None:
        raise SystemExit("the script has no audible beginning")
    truth = figures(truth_chunks, onset, truth_chunks[0].at_ns)
    whole = [each for each in repetitions if each.outcome.valid and len(each.chunks) == len(truth_chunks)]
    if len(whole) < len(repetitions):
        print(f"{streams}: {len(repetitions) - len(whole)} of {len(repetitions)} were not valid or not in one piece")
    seen = [figures(each.chunks, each.audio.onset_frame or 0, each.first_byte_ns or 0) for each in whole if each.audio]
    gaps = [name for name in truth if name.startswith("gap")]
    table = [_row(streams, name, [truth[name]] * len(seen), [each[name] for each in seen])
             for name in truth if name not in gaps]  # fmt: skip
    table.append(
        _row(
            streams, "gap", [truth[name] for _ in seen for name in gaps], [each[name] for each in seen for name in gaps]
        )
    )
    return table


def _row(streams: str, figure: str, truth: Sequence[float], seen: Sequence[float]) -> Row:
    error = np.abs(np.asarray(seen) - np.asarray(truth))
    allowed = np.maximum(2.0, 0.01 * np.asarray(truth)) if figure != "stops" else np.zeros(len(truth))
    return Row(
        streams=streams,
        figure=figure,
        script_ms=round(float(np.median(truth)), 3),
        median_ms=round(float(np.median(seen)), 3),
        error_p50_ms=round(float(np.median(error)), 3),
        error_p99_ms=round(float(np.quantile(error, 0.99)), 3),
        error_max_ms=round(float(error.max()), 3),
        within=round(float(np.mean(error <= allowed)), 4),
        n=len(seen),
    )


@contextlib.contextmanager
def server(script: str) -> Iterator[str]:
    """A server in a process of its own: its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, script, "--port", "0"], stdout=subprocess.PIPE, text=True
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
    worker.answer(LoadOrder(arm_id="truth", launch=0, engine={"engine": "endpoint", "url": url, "voice": "af_heart",
                                                              "session_options": options}))  # fmt: skip
    order = SpeakOrder(scenario_id="truth", launch=0, block=0, position=0, phase="measured", variant=0, text=TEXT,
                       voice="af_heart", stream=True)  # fmt: skip
    found = [worker.answer(order).repetition for _ in range(count)]
    worker.close()
    return [each for each in found if each is not None]


def by_load(url: str, streams: int, seconds: float) -> LoadResult:
    """`streams` listeners, who come one after the other over a second."""
    return run(
        closed_loop(_target(url), _programme(), clock=SystemClock(), listeners=streams, seconds=seconds, stagger_s=1.0)
    )


def by_schedule(url: str, rate: float, seconds: float) -> LoadResult:
    """An open loop."""
    return run(open_loop(_target(url), _programme(), clock=SystemClock(), starts_ns=constant(rate, seconds)))


def _target(url: str) -> Target:
    return Target(address=read_address(url), settings=read_settings({"dialect": "openai"}), dialect=OPENAI)


def _programme() -> Programme:
    text = Utterance(text_class="truth", variant=0, text=TEXT)
    return Programme(scenario_id="truth", utterances=(text,), band=_any_length, voice="af_heart")


def _any_length(utterance: Utterance) -> Band:
    del utterance
    return Band(low=0.0, high=1.0)


def _lag(result: LoadResult) -> str:
    lag = np.asarray(result.lag_ns) / 1e6
    p50, p99 = np.quantile(lag, [0.5, 0.99])
    return f"the client's lag: median {p50:.2f} ms, p99 {p99:.2f} ms, max {lag.max():.2f} ms (n = {len(lag)})"


def _lateness(url: str) -> str:
    """What the server says of its own punctuality since it started."""
    address = read_address(url)
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    connection.request("GET", "/status")
    late = json.loads(connection.getresponse().read())["late_ms"]
    connection.close()
    return f"the server's lateness: median {late['p50']:.2f} ms, p99 {late['p99']:.2f} ms, max {late['max']:.2f} ms"


def _frozen(seconds: float) -> None:
    """A server that stands still for 1 s, under 50 requests a second."""
    with server("frozen") as url:
        result = by_schedule(url, 50, seconds)
    ttfc = [each.chunks[0].at_ns / 1e6 for each in result.repetitions if each.outcome.valid]
    p50, p99 = np.quantile(ttfc, [0.5, 0.99])
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
        script = find_script(str(path))
        with server(str(path)) as url:
            table += rows("engine", script, by_engine(url, max(3, round(given.seconds / 4.7))))
            for streams in map(int, given.streams.split(",")):
                result = by_load(url, streams, given.seconds)
                table += rows(str(streams), script, result.repetitions)
                print(f"{streams} streams: {_lag(result)}; {_lateness(url)}")
    _frozen(10.0)
    if given.json:
        print(json.dumps([asdict(row) for row in table], indent=1))
        return
    print(
        f"{'streams':>7} {'figure':<6} {'script':>9} {'measured':>9} {'|error| p50':>11} "
        f"{'p99':>7} {'max':>7} {'within':>7} {'n':>6}"
    )
    for row in table:
        print(
            f"{row.streams:>7} {row.figure:<6} {row.script_ms:>9.2f} {row.median_ms:>9.2f} {row.error_p50_ms:>11.2f} "
            f"{row.error_p99_ms:>7.2f} {row.error_max_ms:>7.2f} {row.within:>7.1%} {row.n:>6}"
        )


if __name__ == "__main__":
    main()
