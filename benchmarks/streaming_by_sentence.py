"""Compares streaming by sentence with kokoro-onnx's `create_stream`: same model, same text, pair by pair in one run.

    python -m benchmarks.streaming_by_sentence [--model replica] [--text chars-900] [--threads 0] [--pairs 6]

Two workers alternate in ABBA order. Afterwards the worker by sentence is slowed down by an injected delay until its
real-time factor is near 0.75, where nothing may stall yet.
"""

import argparse
import json
import sys
from statistics import median

from benchmarks.orders import synthesis_of
from harness.engines.protocol import EngineOrder
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.protocol import LoadOrder
from harness.metrics.per_request import repetition_figures
from harness.models.files import ModelFiles

FIGURES = ("ttfa", "rtf", "latency", "stall", "stall_count")
TTFA_AT_MOST = 0.2
RTF_AT_MOST = 1.15
NO_STALL_BELOW = 0.8
SLOWED_TO = 0.75
TIMEOUT_S = 900.0

Figures = dict[str, float]


def main() -> int:
    """Print each pair, the medians of the ratios, and whether the claims hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="replica")
    parser.add_argument("--text", default="chars-900")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=6)
    given = parser.parse_args()
    from harness.models.catalogue import Catalogue
    from harness.plan.corpus import Corpus

    files = Catalogue().resolve(given.model, report=print)
    text = Corpus().utterance(given.text).text
    theirs, ours = _pairs(files, text, threads=given.threads, pairs=given.pairs)
    ratios = {name: median(b[name] / a[name] for a, b in zip(theirs, ours, strict=True)) for name in ("ttfa", "rtf")}
    slowed = _slowed(files, text, threads=given.threads, rtf=median(each["rtf"] for each in ours))
    stalled = [each for each in (*ours, *slowed) if each["rtf"] < NO_STALL_BELOW and each["stall_count"]]
    met = {
        f"ttfa at most {TTFA_AT_MOST:g} of create_stream's": ratios["ttfa"] <= TTFA_AT_MOST,
        f"rtf at most {RTF_AT_MOST:g} times": ratios["rtf"] <= RTF_AT_MOST,
        f"no stall below an rtf of {NO_STALL_BELOW:g}": not stalled,
    }
    print(
        json.dumps(
            {
                "model": given.model,
                "text": given.text,
                "threads": given.threads,
                "pairs": given.pairs,
                "ratio": {name: round(value, 4) for name, value in ratios.items()},
                "slowed": [{name: round(value, 3) for name, value in each.items()} for each in slowed],
                "met": met,
            },
            indent=1,
        )
    )
    return 0 if all(met.values()) else 1


def _pairs(files: ModelFiles, text: str, *, threads: int, pairs: int) -> tuple[list[Figures], list[Figures]]:
    """The values of `create_stream` and of streaming by sentence, one of each per pair."""
    workers = [_worker(files, engine, threads=threads) for engine in ("kokoro", "kokoro-sentences")]
    found: tuple[list[Figures], list[Figures]] = ([], [])
    try:
        for worker in workers:
            _synthesise(worker, text)
        for pair in range(pairs):
            for side in (0, 1) if pair % 2 else (1, 0):
                found[side].append(_synthesise(workers[side], text))
            both = ", ".join(f"{name} {found[0][-1][name]:.3f} / {found[1][-1][name]:.3f}" for name in ("ttfa", "rtf"))
            print(f"pair {pair + 1}: create_stream / by sentence: {both}")
    finally:
        for worker in workers:
            worker.close()
    return found


def _slowed(files: ModelFiles, text: str, *, threads: int, rtf: float) -> list[Figures]:
    """Values by sentence with a delay that makes the real-time factor about `SLOWED_TO`; none if it already is."""
    if rtf >= SLOWED_TO:
        print(f"the real-time factor is {rtf:.2f}: nothing can be slowed down to {SLOWED_TO:g}")
        return []
    worker = _worker(files, "kokoro-sentences", threads=threads, slowdown=SLOWED_TO / rtf - 1)
    try:
        return [_synthesise(worker, text)]
    finally:
        worker.close()


def _worker(files: ModelFiles, engine: str, *, threads: int, slowdown: float = 0.0) -> ProcessHandle:
    worker = ProcessHandle()
    order = EngineOrder(
        engine=engine,
        model_path=str(files.model_path),
        voices_path=str(files.voices_path),
        voice="af_heart",
        threads=threads,
    )
    launch = worker.load(LoadOrder(arm_id=engine, launch=0, engine=order, slowdown=slowdown), timeout_s=TIMEOUT_S)
    if not launch.outcome.valid:
        sys.exit(f"{engine}: {launch.outcome.reason}")
    return worker


def _synthesise(worker: ProcessHandle, text: str) -> Figures:
    order = synthesis_of(text, stream=True)
    repetition = worker.synthesise(order, timeout_s=TIMEOUT_S)
    figures = repetition_figures(repetition)
    unknown = [figures[name].reason for name in FIGURES if figures[name].value is None]
    if unknown:
        sys.exit(f"a repetition has no figures: {unknown[0]}")
    return {name: float(figures[name].value or 0.0) for name in FIGURES}


if __name__ == "__main__":
    sys.exit(main())
