"""False alarms and detections of a whole run against few accepted runs, with each metric's prior: a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

from benchmarks.judge_tables import row
from benchmarks.noise import gaussian, heavy_tailed
from benchmarks.rules import gate_baselines
from harness.analysis.gate import SCENARIOS_TO_POOL
from harness.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.rules import Found
    from harness.analysis.stats.grouped import FloatArray
    from harness.metrics.metric import RunSpread

IN_A_SCENARIO = ("ttfa", "latency", "rtf", "cpu_per_audio", "rss_peak")
IN_A_START = ("load_time", "rss_loaded")

SIZES = ((3, 1), (10, 5))
"""Scenarios of a text and of a start: 17 and 60 gated figures."""

SPREADS = ((0.01, 0.001), (0.02, 0.002), (0.05, 0.004), (0.10, 0.004))
"""Standard deviation of runs: of times, of memory. The last one is a host whose hours differ."""

TAILS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], FloatArray]] = {
    "Gaussian": gaussian,
    "heavy-tailed (t₃)": heavy_tailed,
}

COMMON = 0.5
"""The share of the variance of times between runs that all figures of a run share: the machine's hour."""

OF_THE_SCENARIO = 0.45
"""The share that the figures of one scenario share, which come from the same repetitions."""

MEMORY = ("rss_peak", "rss_loaded")
ACCEPTED = (1, 2, 5, 10)
CHUNK = 1000


def whole_runs(rng: np.random.Generator, *, count: int) -> str:
    """The table: each line is one size of run, kind of tail, spread between runs and number of accepted runs."""
    lines = [
        f"Whole runs against accepted runs, with the priors of the registry; {count} runs a line.",
        f"Times of a run share {COMMON:.0%} of their variance, and those of a scenario {OF_THE_SCENARIO:.0%} more.",
        "Alarm: any figure called worse or better where nothing changed, with its exact interval at 95 %.",
        "Found: the growth of one figure of peak memory by 5 % or 10 %.",
        "",
        row("tails", "figures", "sd times", "sd memory", "accepted", "alarm", "interval", "5 % found", "10 % found"),
    ]
    for scenarios, starts in SIZES:
        names = gated(scenarios, starts)
        for tails in TAILS:
            for times, memory in SPREADS:
                for accepted in ACCEPTED:
                    sd = np.array([memory if name in MEMORY else times for name, _ in names])
                    alarms, five, ten = counts(rng, names, tails=tails, sd=sd, accepted=accepted, count=count)
                    exact = binomtest(alarms, count).proportion_ci(0.95)
                    lines.append(
                        row(
                            tails,
                            str(len(names)),
                            f"{times:.0%}",
                            f"{memory:.1%}",
                            str(accepted),
                            f"{alarms / count:.2%}",
                            f"{exact.low:.2%}–{exact.high:.2%}",
                            f"{five / count:.1%}",
                            f"{ten / count:.1%}",
                        )
                    )
    return "\n".join(lines) + "\n"


def gated(scenarios: int, starts: int) -> list[tuple[str, int]]:
    """The gated figures of a run: metric and number of its scenario; the first one is a peak memory."""
    texts = [(name, number) for number in range(scenarios) for name in reversed(IN_A_SCENARIO)]
    return texts + [(name, scenarios + number) for number in range(starts) for name in IN_A_START]


def counts(
    rng: np.random.Generator, names: list[tuple[str, int]], *, tails: str, sd: FloatArray, accepted: int, count: int
) -> tuple[int, int, int]:
    """Runs with a false alarm, and runs in which a growth of the first figure by 5 % and by 10 % was found."""
    priors = [METRICS[name].run_spread for name, _ in names]
    tolerance = np.array([METRICS[name].tolerance or 0.05 for name, _ in names])
    pool = len({scenario for _, scenario in names}) >= SCENARIOS_TO_POOL
    alarms = five = ten = 0
    for start in range(0, count, CHUNK):
        runs = min(CHUNK, count - start)
        levels = sd[:, None] * _levels(rng, names, tails=tails, shape=(runs, accepted + 1))
        found = [_judged(levels, growth, priors=priors, tolerance=tolerance, pool=pool) for growth in (0.0, 0.05, 0.10)]
        alarms += found[0].calls()
        five += int(np.count_nonzero(found[1].worse[:, 0]))
        ten += int(np.count_nonzero(found[2].worse[:, 0]))
    return alarms, five, ten


def _judged(levels: FloatArray, growth: float, *, priors: list[RunSpread], tolerance: FloatArray, pool: bool) -> Found:
    new = levels[..., -1].copy()
    new[:, 0] += np.log1p(growth)
    return gate_baselines(new, levels[..., :-1], tolerance=tolerance, priors=priors, pool=pool)


def _levels(
    rng: np.random.Generator, names: list[tuple[str, int]], *, tails: str, shape: tuple[int, int]
) -> FloatArray:
    """The level of each figure in each run, with unit variance: shape (runs, figures, accepted + 1).

    Memory of different scenarios is independent; times share the machine's hour, and those of one scenario more.
    """
    runs, levels = shape
    draw = TAILS[tails]
    scenario = np.array([number for _, number in names])
    memory = np.array([name in MEMORY for name, _ in names])[:, None]
    hour = draw(rng, (runs, 1, levels))
    shared = draw(rng, (runs, scenario.max() + 1, levels))[:, scenario]
    own = draw(rng, (runs, len(names), levels))
    rest = 1 - COMMON - OF_THE_SCENARIO
    times = np.sqrt(COMMON) * hour + np.sqrt(OF_THE_SCENARIO) * shared + np.sqrt(rest) * own
    return np.where(memory, own, times)
