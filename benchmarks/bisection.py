"""Simulates bisections of twelve versions with a known truth: `python -m benchmarks.bisection [--quick]`.

The search, its posterior and the estimates of its probes are the product's own. Only the log-times are synthetic: noise
of single repetitions, and of processes, as duels in slices show it. The table in `docs/method.md` comes from here.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.bisection.answer import Pairs, State, estimates_of, known_of
from harness.analysis.sequential import EARLIEST_BLOCKS
from harness.analysis.stats.paired import SLICED_LAUNCH_SD, deferred_estimates
from harness.analysis.stats.power import tolerance_for
from harness.core.records.bisection import BisectionAnswer, Known, Probe

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray

PLACES = 12
SEED = 20261130
LAUNCHES, BLOCKS_A_LAUNCH = 16, 3
"""The most launches of a probe, and the blocks of each, as in a duel in slices."""
LAUNCH_S, BLOCK_S = 8.0, 3.0
"""Presumed seconds for a launch of three workers with their warm-up, and for a block of three short texts."""
BUDGET_S = 900.0
FIRST_LAUNCHES = (4, 8, 16)
"""The launches after which the duel of bad and good is analysed; a quarter of the budget has time for all."""
EFFECT = 0.05
LEVEL = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A truth and a noise. `levels` are changes (ratios), each so many places after the planted one.

    `pair_sd` and `launch_sd` are standard deviations of log-ratios of two arms.
    """

    name: str
    levels: tuple[tuple[int, float], ...] = ()
    pair_sd: float = 0.015
    launch_sd: float = 0.008
    heavy: bool = False
    right: BisectionAnswer = BisectionAnswer.STEP


@dataclass(slots=True)
class Tally:
    """What came of the searches of one case."""

    answers: Counter[str] = field(default_factory=Counter)
    probes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


STEP = ((0, 0.05),)
CASES = (
    Case(name="one step of 5 %, pairs scatter by 1.2 %", levels=STEP, pair_sd=0.012),
    Case(name="one step of 5 %, pairs scatter by 2.1 %", levels=STEP, pair_sd=0.021),
    Case(name="the same, heavy-tailed (t₃)", levels=STEP, pair_sd=0.021, heavy=True),
    Case(name="one step of 5 %, launches scatter by 1.6 %", levels=STEP, launch_sd=0.016),
    Case(name="one step of 10 %", levels=((0, 0.10),)),
    Case(name="one step of −5 %", levels=((0, -0.05),)),
    Case(name="5 % in two equal steps", levels=((0, 0.025), (3, 0.025)), right=BisectionAnswer.SPREAD),
    Case(name="5 %, taken back, and again", levels=((0, 0.05), (3, -0.05), (6, 0.05)), right=BisectionAnswer.CAME_BACK),
    Case(name="nothing changed", right=BisectionAnswer.NO_DIFFERENCE),
)


class Machine:
    """Measures places of one truth with noise."""

    def __init__(self, case: Case, truth: FloatArray, rng: np.random.Generator) -> None:
        self._case, self._truth, self._rng = case, truth, rng
        self.seconds = 0.0

    def log_times(self, places: list[int], blocks: int) -> FloatArray:
        """One launch: shape (places, blocks)."""
        rng, case = self._rng, self._case
        self.seconds += (LAUNCH_S + blocks * BLOCK_S) * len(places) / 3
        shape = (len(places), blocks)
        noise = rng.standard_t(3, shape) / np.sqrt(3) if case.heavy else rng.standard_normal(shape)
        process = rng.standard_normal((len(places), 1)) * case.launch_sd
        found: FloatArray = self._truth[places][:, None] + (process + noise * case.pair_sd) / np.sqrt(2)
        return found


def first(machine: Machine) -> Known | None:
    """The duel of bad and good; None if it shows no difference. Its analyses share the error rate as a duel's do."""
    launches: list[tuple[float, ...]] = []
    spent = 0.0
    for planned in FIRST_LAUNCHES:
        while len(launches) < planned:
            bad, good = machine.log_times([PLACES - 1, 0], BLOCKS_A_LAUNCH)
            launches.append(tuple(map(float, bad - good)))
        share = (planned / FIRST_LAUNCHES[-1]) ** 2 - spent
        spent += share
        (found,) = deferred_estimates([tuple(launches)], launch_sd=SLICED_LAUNCH_SD)
        beyond = found is not None and abs(found.point) >= np.log1p(tolerance_for(EFFECT))
        if found is not None and beyond and found.p_difference() < LEVEL * share:
            return known_of(found)
    return None


def probe(machine: Machine, state: State, place: int, *, budget_s: float) -> Probe | None:
    """One probe, which ends as the product's does."""
    began_s, rows = machine.seconds, ([], [], [])  # type: tuple[float, tuple[list[tuple[float, ...]], ...]]
    found = None
    for launch in range(LAUNCHES):
        ours, good, bad = machine.log_times([place, 0, PLACES - 1], BLOCKS_A_LAUNCH)
        for row, values in zip(rows, (ours - good, ours - (good + bad) / 2, bad - good), strict=True):
            row.append(tuple(map(float, values)))
        pairs = Pairs(ratio=tuple(rows[0]), centred=tuple(rows[1]), whole=tuple(rows[2]))
        estimates = estimates_of(pairs, launch_inflation=1.0, launch_sd=SLICED_LAUNCH_SD)
        if estimates is None:
            continue
        blocks = (launch + 1) * BLOCKS_A_LAUNCH
        found = Probe(
            place=place, run_id="", ratio=estimates[0], centred=estimates[1], whole=estimates[2],
            pairs=blocks, launches=launch + 1, seconds=machine.seconds - began_s,
        )  # fmt: skip
        if blocks >= EARLIEST_BLOCKS and state.is_certain(found):
            break
        if machine.seconds - began_s + LAUNCH_S + BLOCKS_A_LAUNCH * BLOCK_S > budget_s:
            break
    return found


def search(case: Case, rng: np.random.Generator) -> tuple[str, int, float]:
    """One bisection: "right", "wrong" or "undecided", its probes, and its seconds."""
    latest = PLACES - 1 - max((after for after, _ in case.levels), default=0)
    planted = int(rng.integers(1, latest + 1))
    levels = np.zeros(PLACES)
    for after, change in case.levels:
        levels[planted + after :] += np.log1p(change)
    machine = Machine(case, levels, rng)
    whole = first(machine)
    if whole is None:
        return _outcome(case, BisectionAnswer.NO_DIFFERENCE, set(), set()), 0, machine.seconds
    state = State(count=PLACES, first=whole)
    while (answer := state.answer()).answer is BisectionAnswer.UNDECIDED:
        place, left_s = state.next_place(), BUDGET_S - machine.seconds
        least_s = 2 * (LAUNCH_S + BLOCKS_A_LAUNCH * BLOCK_S)
        if place is None or left_s < least_s:
            return "undecided", len(state.probes), machine.seconds
        found = probe(machine, state, place, budget_s=max(left_s / state.probes_left(), least_s))
        if found is None:
            return "undecided", len(state.probes), machine.seconds
        state = State(count=PLACES, first=whole, probes=(*state.probes, found))
    steps = {step.after for step in answer.steps}
    truth = {planted + after for after, _ in case.levels}
    return _outcome(case, answer.answer, steps, truth), len(state.probes), machine.seconds


def _outcome(case: Case, found: BisectionAnswer, steps: set[int], truth: set[int]) -> str:
    """Whether an answer is right: all changes, or where one came back, changes that there are.

    A change that comes back between two probes that are alike is not seen: what lies between is presumed like them.
    """
    if found is BisectionAnswer.NO_DIFFERENCE:
        return "right" if case.right is found else "undecided"
    if case.right is BisectionAnswer.CAME_BACK:
        return "right" if steps <= truth else "wrong"
    return "right" if found is case.right and steps == truth else "wrong"


def tally(case: Case, *, count: int, seed: int) -> Tally:
    """Search `count` times."""
    found = Tally()
    rng = np.random.default_rng(seed)
    for _ in range(count):
        outcome, probes, seconds = search(case, rng)
        found.answers[outcome] += 1
        found.probes.append(probes)
        found.seconds.append(seconds)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bisection", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the searches")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of every line")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    count = 20 if options.quick else 200
    began = time.perf_counter()
    sys.stdout.write(
        f"{PLACES} places, a change at a random one, {count} searches a line, each of at most {BUDGET_S:g} s\n\n"
        f"{'truth and noise':<46}{'right':>8}{'wrong':>8}{'undecided':>11}{'probes':>8}{'median':>9}{'95 % within':>13}"
        "\n"
    )
    for case in CASES:
        found = tally(case, count=count, seed=options.seed)
        shares = [100 * found.answers[each] / count for each in ("right", "wrong", "undecided")]
        within = float(np.quantile(found.seconds, 0.95))
        sys.stdout.write(
            f"{case.name:<46}{shares[0]:>6.1f} %{shares[1]:>6.1f} %{shares[2]:>9.1f} %{np.mean(found.probes):>8.1f}"
            f"{median(found.seconds):>7.0f} s{within:>11.0f} s\n"
        )
        sys.stdout.flush()
    sys.stdout.write(f"(seed {options.seed}, {time.perf_counter() - began:.0f} s)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
