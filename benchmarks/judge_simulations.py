"""Simulates false alarms and detections on synthetic noise: `python -m benchmarks.judge_simulations [--quick]`.

Every table is printed with its seed. The values in `docs/method.md` come from here. The simulation runs the gate's own
code. It works on arrays, so that sixty pairs of thousands of runs are decided at once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.judge_tables import EFFECT, duels, first_found, history, long_history, sliced_duels, small_baselines
from benchmarks.launch_table import early_ends, launch_scatter
from benchmarks.noise import ACCEPTED, DAY_SD, FAMILIES, log_times
from benchmarks.rules import PEERS, Found, gate_baselines, gate_duels
from benchmarks.whole_run_table import whole_runs
from harness.analysis.stats.power import tolerance_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.analysis.stats.grouped import FloatArray

PAIRS = 60
LAUNCHES = 3
BLOCKS = 8
"""Blocks per launch: 24 values per arm, which is a minute of a duel."""

LARGER = 0.10
CHUNK = 100
SEED = 20240607
RULES = ("the gate", *PEERS)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge_simulations", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws, in less than a minute")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of every table")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="sixty-duels, launches, …; without any, all")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    part = 10 if options.quick else 1
    tables: dict[str, Callable[[np.random.Generator], str]] = {
        "sixty-duels": lambda rng: sixty_duels(rng, count=2000 // part),
        "sixty-baselines": lambda rng: sixty_baselines(rng, count=2000 // part),
        "duels": lambda rng: duels(rng, count=4000 // part),
        "slices": lambda rng: sliced_duels(rng, count=4000 // part),
        "baselines": lambda rng: small_baselines(rng, count=8000 // part),
        "whole-runs": lambda rng: whole_runs(rng, count=2000 // part),
        "early-ends": lambda rng: early_ends(rng, count=4000 // part),
        "launches": lambda rng: launch_scatter(rng, count=20000 // part),
        "history": lambda rng: history(rng, count=1500 // part),
        "long-history": lambda rng: long_history(rng, count=150 // part),
    }
    if unknown := set(options.tables) - tables.keys():
        parser.error(f"no table {min(unknown)!r}; there are {', '.join(tables)}")
    for table in [tables[name] for name in options.tables or tables]:
        began = time.perf_counter()
        sys.stdout.write(table(np.random.default_rng(options.seed)))
        sys.stdout.write(f"(seed {options.seed}, {time.perf_counter() - began:.0f} s)\n\n")
        sys.stdout.flush()
    return 0


def sixty_duels(rng: np.random.Generator, *, count: int) -> str:
    """The table of runs with sixty gated pairs and both arms in the run."""

    def judge(family: str, cv: float, runs: int) -> list[tuple[int, int, int]]:
        new, old = (log_times(rng, family, (runs, PAIRS, LAUNCHES, BLOCKS), cv=cv) for _ in range(2))
        tolerance = tolerance_for(EFFECT)
        gate = [gate_duels(_plant(new, size) - old, tolerance=tolerance) for size in (0.0, EFFECT, LARGER)]
        return [_counts(gate), *_peers(new, old)]

    introduction = [
        f"Duels of {PAIRS} gated pairs, {LAUNCHES} launches × {BLOCKS} blocks, {count} runs a line. The arms' noise is",
        "independent, so that pairing itself gains nothing: the worst case for the gate.",
    ]
    return _table(introduction, judge, count=count)


def sixty_baselines(rng: np.random.Generator, *, count: int) -> str:
    """The table of runs with sixty gated pairs, compared with accepted runs of other days."""

    def judge(family: str, cv: float, runs: int) -> list[tuple[int, int, int]]:
        shape = (runs, PAIRS, ACCEPTED + 1, LAUNCHES, BLOCKS)
        values = log_times(rng, family, shape, cv=cv) + _days(rng, runs)[..., None, None]
        medians = np.median(values.reshape(*shape[:3], -1), -1)
        new, accepted = medians[..., -1], medians[..., :-1]
        tolerance = tolerance_for(EFFECT)
        gate = [gate_baselines(_plant(new, size), accepted, tolerance=tolerance) for size in (0.0, EFFECT, LARGER)]
        return [_counts(gate), *_peers(values[:, :, -1], values[:, :, -2])]

    introduction = [
        f"Runs of {PAIRS} gated pairs, {LAUNCHES} × {BLOCKS} blocks, against {ACCEPTED} accepted runs; {count} a line.",
        f"Each run has a level of its own (sd {DAY_SD:.0%}). The peers compare with the last accepted run.",
    ]
    return _table(introduction, judge, count=count)


def _table(
    introduction: list[str], judge: Callable[[str, float, int], list[tuple[int, int, int]]], *, count: int
) -> str:
    """Run the gate on `count` runs of every family and spread, in chunks that fit into memory."""
    lines = [
        *introduction,
        "Each cell, in per cent: runs with any alarm where nothing changed / a slowdown of 5 % in one pair found / of",
        f"10 % found. The gate's tolerance is {tolerance_for(EFFECT):.1%}; to it, an improvement is an alarm as well.",
        "",
        f"{'noise':<20}{'CV':>5}" + "".join(f"{name:>20}" for name in RULES),
    ]
    for family in FAMILIES:
        for cv in (0.02, 0.04, 0.06):
            totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
            for start in range(0, count, CHUNK):
                for name, counts in zip(RULES, judge(family, cv, min(CHUNK, count - start)), strict=True):
                    totals[name] = [total + more for total, more in zip(totals[name], counts, strict=True)]
            cells = (
                f"{100 * alarms / count:.4g} / {100 * found / count:.0f} / {100 * larger / count:.0f}"
                for alarms, found, larger in totals.values()
            )
            lines.append(f"{family:<20}{cv:>5.0%}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines) + "\n"


def _counts(judged: list[Found]) -> tuple[int, int, int]:
    """The number of runs with a false alarm, and of runs in which each planted slowdown was found."""
    quiet, found, larger = judged
    return quiet.calls(), first_found(found), first_found(larger)


def _peers(new: FloatArray, old: FloatArray) -> list[tuple[int, int, int]]:
    times, before = np.exp(new), np.exp(old)
    counts = []
    for rule in PEERS.values():
        alarms = int(np.count_nonzero(rule(times, before).any(-1)))
        # A slowdown in the first pair changes nothing in the others, so only that one is decided again.
        found, larger = (int(np.count_nonzero(rule(times[:, :1] * (1 + s), before[:, :1]))) for s in (EFFECT, LARGER))
        counts.append((alarms, found, larger))
    return counts


def _days(rng: np.random.Generator, runs: int) -> FloatArray:
    """The level of each run on its day, shape (runs, pairs, accepted + 1), half of its variance common to all pairs."""
    common = rng.standard_normal((runs, 1, ACCEPTED + 1))
    own = rng.standard_normal((runs, PAIRS, ACCEPTED + 1))
    return np.asarray(DAY_SD * np.sqrt(0.5) * (common + own))


def _plant(log_values: FloatArray, size: float) -> FloatArray:
    """A slowdown of `size` in the first pair of every run."""
    slowed = log_values.copy()
    slowed[:, 0] += np.log1p(size)
    return slowed


if __name__ == "__main__":
    sys.exit(main())
