"""Smaller tables of the simulations: duels with a stopping rule, baselines of few runs, histories."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.noise import FAMILIES, half_speed, log_times
from benchmarks.rules import Found, gate_baselines, gate_duels
from harness.analysis.changepoints.detect import ALPHA, STRICTEST, change_points_of
from harness.analysis.changepoints.incremental import SEGMENT, steps_of_lines
from harness.analysis.sequential import StoppingRule
from harness.analysis.stats import anova
from harness.analysis.stats.paired import SLICED_LAUNCH_SD
from harness.analysis.stats.power import tolerance_for

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray

EFFECT = 0.05
METRICS = 5
ALIKE = 0.9
"""Correlation of the metrics of a scenario, which come from the same repetitions."""

DISTURBED = "half speed in 3 %"

PLANS = ((0.03, 0.05, (12, 15, 18, 24)), (0.03, 0.02, (48, 60, 72)), (0.013, 0.01, (48, 60, 72)))
"""Standard deviation of a pair's log-ratio, effect sought, planned pairs."""


SLICED_SD = 0.014
SLICED_PLANS = ((0.05, 2, 7), (0.05, 3, 5), (0.02, 8, 5), (0.01, 16, 5))
"""Effect sought, launches, pairs per launch: one minute on two cores, the same with faster launches, three, six."""

BETWEEN = (0.0, 0.004, 0.008, 0.012)
"""Standard deviations between launches of pairs in slices."""

LEARNED = 12
"""The number of duels of an arm against itself from which the launch variation is estimated."""

HISTORIES = 20
"""The number of such estimates."""


def first_found(found: Found) -> int:
    """The number of runs in which the first pair was called worse."""
    return int(np.count_nonzero(found.worse[:, 0]))


def duels(rng: np.random.Generator, *, count: int) -> str:
    """The table of duels with one scenario, five metrics and the stopping rule."""
    lines = [
        f"Duels of one scenario with {METRICS} metrics (correlation {ALIKE}), launches one after the other, the",
        f"stopping rule looking; {count} a line. Alarm: any metric called worse or better in a duel of a thing against",
        "itself. Found: the slowdown sought. Pairs: the mean at the stop. Once: found without looking before.",
        "",
        row("noise", "launches", "sd of a pair", "sought", "planned", "alarm", "found", "pairs", "once"),
    ]
    for family in (*FAMILIES, DISTURBED):
        for sd, effect, planned in PLANS:
            lines.extend(
                _duel_line(rng, family, sd=sd, effect=effect, blocks=blocks, count=count)
                for blocks in (planned if family == "Gaussian" else planned[-1:])
            )
    lines.append(_duel_line(rng, "launch-dominated", sd=0.03, effect=0.05, blocks=24, count=count, launches=8))
    lines.append(_duel_line(rng, "launch-dominated", sd=0.03, effect=0.05, blocks=72, count=count, launches=12))
    lines.append(_duel_line(rng, "AR(1), ρ = 0.5", sd=0.03, effect=0.05, blocks=15, count=count))
    return "\n".join(lines) + "\n"


def _duel_line(
    rng: np.random.Generator, family: str, *, sd: float, effect: float, blocks: int, count: int, launches: int = 3
) -> str:
    ratios = _ratios(rng, family, sd=sd, shape=(count, METRICS, launches, blocks // launches))
    tolerance = tolerance_for(effect)
    quiet, _ = _play(ratios, tolerance=tolerance)
    slowed = ratios + np.log1p(effect)
    found, pairs = _play(slowed, tolerance=tolerance)
    once = gate_duels(slowed, tolerance=tolerance, one_scenario=True)
    return row(
        family,
        str(launches),
        f"{sd:.1%}",
        f"{effect:.0%}",
        str(blocks),
        f"{100 * quiet.calls() / count:.2f} %",
        f"{100 * first_found(found) / count:.1f} %",
        f"{pairs.mean():.0f}",
        f"{100 * first_found(once) / count:.1f} %",
    )


def sliced_duels(rng: np.random.Generator, *, count: int) -> str:
    """The table of duels in slices: their pairs scatter little, and launches add their own variance."""
    lines = [
        f"Duels in slices of one scenario with {METRICS} metrics (correlation {ALIKE}), {count} a line: pairs scatter",
        f"by {SLICED_SD:.1%}. Presumed: launches scatter by {SLICED_LAUNCH_SD:.1%}. Learned: from {LEARNED} duels",
        f"of an arm against itself, {HISTORIES} times.",
        "",
        row("sought", "launches", "pairs of each", "sd of launches", "alarm", "found", "learned: alarm", "found"),
    ]
    for effect, launches, each in SLICED_PLANS:
        for between in BETWEEN:
            ratios = _sliced_ratios(rng, between=between, shape=(count, METRICS, launches, each))
            tolerance = tolerance_for(effect)
            learned_sd = [_learned(rng, between=between) for _ in range(HISTORIES)]
            parts = np.array_split(ratios, HISTORIES)
            figures = []
            for some in ([(ratios, SLICED_LAUNCH_SD)], [*zip(parts, learned_sd, strict=True)]):
                quiet = [_play(part, tolerance=tolerance, launch_sd=sd)[0] for part, sd in some]
                found = [_play(part + np.log1p(effect), tolerance=tolerance, launch_sd=sd)[0] for part, sd in some]
                figures.append(f"{100 * sum(each.calls() for each in quiet) / count:.2f} %")
                figures.append(f"{100 * sum(map(first_found, found)) / count:.1f} %")
            lines.append(row(f"{effect:.0%}", str(launches), str(each), f"{between:.1%}", *figures))
    return "\n".join(lines) + "\n"


def _sliced_ratios(rng: np.random.Generator, *, between: float, shape: tuple[int, int, int, int]) -> FloatArray:
    """Log-ratios of pairs in slices. The launches scatter with standard deviation `between`, equally in all metrics."""
    count, _, launches, _ = shape
    ratios = _ratios(rng, "Gaussian", sd=SLICED_SD, shape=shape)
    return np.asarray(ratios + between * rng.standard_normal((count, 1, launches, 1)))


def _learned(rng: np.random.Generator, *, between: float) -> float:
    """The launch variation that calibration estimates from one-minute duels of an arm against itself."""
    known = _sliced_ratios(rng, between=between, shape=(LEARNED, 1, *SLICED_PLANS[1][1:]))[:, 0]
    return anova.own_scatter(anova.fit(known), presumed=SLICED_LAUNCH_SD)


def _ratios(rng: np.random.Generator, family: str, *, sd: float, shape: tuple[int, int, int, int]) -> FloatArray:
    """Log-ratios of shape (duels, metrics, launches, blocks of a launch), correlated between metrics."""
    kind = "Gaussian" if family == DISTURBED else family
    common = log_times(rng, kind, (shape[0], 1, *shape[2:]), cv=sd)
    own = log_times(rng, kind, shape, cv=sd)
    ratios = np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * own
    if family == DISTURBED:
        # A slow moment affects one arm, and all metrics of its repetition.
        slow, slower = (half_speed(rng, np.zeros_like(common)) for _ in range(2))
        ratios = ratios + slow - slower
    return np.asarray(ratios)


def _play(ratios: FloatArray, *, tolerance: float, launch_sd: float = 0.0) -> tuple[Found, FloatArray]:
    """Apply the stopping rule: stop a duel once all its metrics are called. Return the number of pairs."""
    duels, metrics, launches, each = ratios.shape
    blocks = launches * each
    rule = StoppingRule(planned_blocks=blocks)
    worse = np.zeros((duels, metrics), dtype=bool)
    better = np.zeros_like(worse)
    pairs = np.full(duels, float(blocks))
    going = np.arange(duels)
    place = np.arange(blocks).reshape(launches, each)
    for look in rule.planned_analyses():
        seen = np.where(place < look, ratios[going], np.nan)
        found = gate_duels(
            seen,
            tolerance=tolerance,
            share=rule.alpha_spent(look),
            one_scenario=True,
            launch_sd=launch_sd,
        )
        worse[going], better[going] = found.worse, found.better
        called = (found.worse | found.better).all(-1)
        pairs[going[called]] = look
        going = going[~called]
        if not going.size:
            break
    return Found(worse=worse, better=better), pairs


def small_baselines(rng: np.random.Generator, *, count: int) -> str:
    """The table of one scenario, compared with few and with many accepted runs."""
    lines = [
        f"One scenario with {METRICS} metrics (correlation {ALIKE}) against accepted runs; {count} runs a line.",
        f"Sd: of a run's log-median between runs. The tolerance is {tolerance_for(EFFECT):.1%}.",
        "",
        row("accepted runs", "sd", "alarm", "5 % found", "10 % found", "20 % found"),
    ]
    lines.extend(
        _baseline_line(rng, accepted=accepted, sd=sd, count=count)
        for accepted in (1, 2, 3, 5, 10, 20)
        for sd in (0.0075, 0.01, 0.0125, 0.015, 0.03)
    )
    return "\n".join(lines) + "\n"


def _baseline_line(rng: np.random.Generator, *, accepted: int, sd: float, count: int) -> str:
    common = rng.standard_normal((count, 1, accepted + 1))
    own = rng.standard_normal((count, METRICS, accepted + 1))
    medians = sd * (np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * own)
    tolerance = tolerance_for(EFFECT)
    quiet, *planted = (
        gate_baselines(medians[..., -1] + np.log1p(shift), medians[..., :-1], tolerance=tolerance)
        for shift in (0.0, 0.05, 0.10, 0.20)
    )
    return row(
        str(accepted),
        f"{sd:.2%}",
        f"{100 * quiet.calls() / count:.2f} %",
        *(f"{100 * first_found(found) / count:.1f} %" for found in planted),
    )


def history(rng: np.random.Generator, *, count: int) -> str:
    """The table of change points in a hundred runs."""
    runs, sd = 100, 0.02
    lines = [
        f"Histories of {runs} runs, sd {sd:.0%}; {count} series where nothing changed, {count // 3} with a step of 5 %",
        "that begins 1, 2 or 5 runs before the end. Apache Otava 0.8, for comparison: alerts on 7.5–9.5 % (Gaussian),",
        "22.5 % (heavy tails), 68 % (AR(1)); found 20 / 59 / 86 % after 1 / 2 / 5 runs (Gaussian).",
        "",
        row("noise", "alpha", "alert", "after 1", "after 2", "after 5", "CPU a series"),
    ]
    for family in list(FAMILIES)[:3]:
        flat = log_times(rng, family, (count, 1, runs), cv=sd)[:, 0]
        for alpha in (0.01, ALPHA):
            began = time.process_time()
            shares = [_alerted(flat, alpha)]
            each_ms = 1000 * (time.process_time() - began) / count
            for after in (1, 2, 5):
                step = np.where(np.arange(runs) >= runs - after, np.log1p(0.05), 0.0)
                shares.append(_alerted(flat[: count // 3] + step, alpha))
            lines.append(row(family, f"{alpha:.0%}", *(f"{share:.1%}" for share in shares), f"{each_ms:.0f} ms"))
    return "\n".join(lines) + "\n"


def _alerted(series: FloatArray, alpha: float) -> float:
    found = change_points_of(series.tolist(), alpha=alpha)
    return sum(bool(steps) for steps in found) / len(found)


def long_history(rng: np.random.Generator, *, count: int) -> str:
    """The table of marks on a thousand runs without a step."""
    runs, sd = 1000, 0.02
    lines = [
        f"Lines of {runs} runs without a step, sd {sd:.0%}, {count} of each noise: share of the segments of {SEGMENT}",
        "runs that a false mark stands in.",
        "",
        row("noise", *(f"{alpha:.2%}" for alpha in (STRICTEST, ALPHA)), "CPU a line"),
    ]
    for family in list(FAMILIES)[:3]:
        flat = np.exp(log_times(rng, family, (count, 1, runs), cv=sd)[:, 0]).tolist()
        began = time.process_time()
        shares = []
        for alpha in (STRICTEST, ALPHA):
            marks = [{step.index // SEGMENT for step in steps} for steps in steps_of_lines(flat, alpha=alpha)]
            shares.append(sum(map(len, marks)) / (count * runs / SEGMENT))
        each_ms = 1000 * (time.process_time() - began) / count / len(shares)
        lines.append(row(family, *(f"{share:.2%}" for share in shares), f"{each_ms:.0f} ms"))
    return "\n".join(lines) + "\n"


def row(first: str, *rest: str) -> str:
    """One line of a table: the first column is 20 characters wide, each other one 15."""
    return f"{first:<20}" + "".join(f"{cell:>15}" for cell in rest)
