"""Measures false change points and detection delays, of the project and of Apache Otava.

Both get the same series: a hundred runs at a CV of 2 %. Otava is installed from the package index into a separate
environment and keeps its default settings (p < 0.001, windows of 50 runs). If this fails, the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.foreign import environment
from benchmarks.noise import FAMILIES, log_times
from harness.analysis.changepoints.detect import ALPHA, change_points

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.analysis.stats.grouped import FloatArray

OTAVA = "apache-otava==0.8.0"
RUNS = 100
CV = 0.02
STEP = 0.05
AFTER = (0, 1, 2, 5)
"""Runs since the step; 0 is a series without one."""
SEED = 20260707

_ASK = """
import json, sys, time
from otava.analysis import compute_change_points
series = json.load(sys.stdin)
began = time.process_time()
found = [bool(compute_change_points(each)[0]) for each in series]
json.dump([found, time.process_time() - began], sys.stdout)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The share of series with any change point, and the CPU time of each series in seconds."""

    share: float
    each_s: float


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.change_point_rates", description=__doc__)
    parser.add_argument("--series", type=int, default=400, help="series of each line")
    options = parser.parse_args()
    print(f"{options.series} series a line, {RUNS} runs, CV {CV:.0%}, step {STEP:.0%}, seed {SEED}")
    print(f"ours at alpha {ALPHA:.0%}, Otava at its own defaults; shares of series in which anything was found")
    print(f"{'noise':<20}{'runs since step':>16}{'kokoro-bench':>16}{OTAVA:>22}{'CPU a series':>22}")
    with tempfile.TemporaryDirectory() as directory:
        try:
            python = environment(Path(directory) / "otava", OTAVA) / "python"
        except subprocess.CalledProcessError as error:
            print(f"{OTAVA}: not compared: {error}")
            python = None
        for family in list(FAMILIES)[:3]:
            flat = log_times(np.random.default_rng(SEED), family, (options.series, 1, RUNS), cv=CV)[:, 0]
            for after in AFTER:
                step = np.where(np.arange(RUNS) >= RUNS - after, np.log1p(STEP), 0.0)
                _line(family, after, flat + step, python)
    return int(python is None)


def _line(family: str, after: int, series: FloatArray, python: Path | None) -> None:
    ours = _timed(series.tolist(), lambda each: bool(change_points(each)))
    theirs = _otava(python, np.exp(series).tolist()) if python else None
    since = f"{after}" if after else "no step"
    shares = f"{ours.share:>16.1%}" + (f"{theirs.share:>22.1%}" if theirs else f"{'–':>22}")
    costs = f"{1000 * ours.each_s:.1f} ms" + (f", {1000 * theirs.each_s:.1f} ms" if theirs else "")
    print(f"{family:<20}{since:>16}{shares}{costs:>22}", flush=True)


def _timed(series: Sequence[Sequence[float]], found: Callable[[Sequence[float]], bool]) -> Answer:
    found(series[0])  # loads the libraries, which must not count as time of a series
    began = time.process_time()
    hits = sum(found(each) for each in series)
    return Answer(share=hits / len(series), each_s=(time.process_time() - began) / len(series))


def _otava(python: Path, series: Sequence[Sequence[float]]) -> Answer:
    command = [str(python), "-c", _ASK]
    asked = subprocess.run(command, input=json.dumps(series), check=True, capture_output=True, text=True)
    found, seconds = json.loads(asked.stdout)
    return Answer(share=sum(found) / len(series), each_s=seconds / len(series))


if __name__ == "__main__":
    sys.exit(main())
