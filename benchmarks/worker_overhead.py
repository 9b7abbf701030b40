"""Measures the overhead of the harness: a worker against a bare loop over kokoro-onnx, in pairs on the same model.

A worker and a plain process with nothing but kokoro-onnx take turns, A B A B …, on the same text with the same threads.
The result is the ratio over the pairs. Launches are repeated, because two processes of the same arm differ by chance.
"""

import argparse
import json
import math
import subprocess
import sys
from statistics import median

from benchmarks.kept_figures import keep
from benchmarks.orders import engine_of, synthesis_of
from harness.analysis.stats.paired import log_ratio_estimate
from harness.engines.protocol import EngineOrder
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.protocol import LoadOrder

BARE = """
import json, sys, time
from kokoro_onnx import Kokoro
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[4])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
kokoro = Kokoro.from_session(session, sys.argv[2])
kokoro.create("Hello world.", "af_heart")
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter_ns()
    kokoro.create(sys.argv[3], "af_heart")
    print(time.perf_counter_ns() - start, flush=True)
"""


def main() -> None:
    """Print the ratio of each launch, and for each number of threads the ratio over all pairs with its interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="replica")
    parser.add_argument("--launches", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    given = parser.parse_args()
    from harness.plan.corpus import Corpus

    text = Corpus().utterance("chars-60").text
    for threads in map(int, given.threads.split(",")):
        engine = engine_of(given.model, threads=threads)
        every = []
        for launch in range(given.launches):
            ratios = _launch(engine, text, pairs=given.pairs)
            every.append(tuple(map(math.log, ratios)))
            print(f"launch {launch + 1}: worker / bare loop, median of {len(ratios)} pairs: {median(ratios):.4f}")
        found = log_ratio_estimate(tuple(every), level=0.95)
        assert found is not None, "at least three pairs are needed"  # noqa: S101
        ratio, low, high = (math.exp(each) for each in (found.point, found.low, found.high))
        keep(f"worker / bare loop, {threads} threads", ratio, "", interval=(low, high), least=0.99, most=1.01)
        print(
            json.dumps(
                {
                    "what": "latency by the worker / by a bare loop over kokoro-onnx",
                    "model": given.model,
                    "threads": threads,
                    "pairs": found.n,
                    "ratio": round(ratio, 4),
                    "interval_95": [round(low, 4), round(high, 4)],
                    "wanted": "1.00 ± 0.01",
                }
            )
        )


def _launch(engine: EngineOrder, text: str, *, pairs: int) -> list[float]:
    """One process of each kind, `pairs` turns in ABBA order."""
    worker = ProcessHandle()
    worker.load(LoadOrder(arm_id="arm", launch=0, engine=engine), timeout_s=120)
    synthesise = synthesis_of(text)
    bare = subprocess.Popen(
        [sys.executable, "-c", BARE, engine.model_path, engine.voices_path, text, str(engine.threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert bare.stdin is not None  # noqa: S101 - for the type checker
    assert bare.stdout is not None  # noqa: S101 - for the type checker
    bare.stdout.readline()

    def by_worker() -> int:
        return worker.synthesise(synthesise, timeout_s=120).end_ns

    def by_loop() -> int:
        assert bare.stdin is not None  # noqa: S101 - for the type checker
        assert bare.stdout is not None  # noqa: S101 - for the type checker
        bare.stdin.write("\n")
        bare.stdin.flush()
        return int(bare.stdout.readline())

    try:
        by_worker(), by_loop()
        ratios = []
        for pair in range(pairs):
            if pair % 2:
                loop, work = by_loop(), by_worker()
            else:
                work, loop = by_worker(), by_loop()
            ratios.append(work / loop)
        return ratios
    finally:
        bare.stdin.close()
        bare.wait(30)
        bare.stdout.close()
        worker.close()


if __name__ == "__main__":
    main()
