"""Calibration: how often the gate is wrong on this machine, found out by duels whose truth is known.

An arm is played against itself, and against itself with a planted slowdown: a real delay in the worker, in proportion
to its work. The trials are kept per machine beside the baselines, and their curve is quoted wherever a verdict is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.analysis.operating_curve import UNCALIBRATED, OperatingCurve, Trial, operating_curves
from harness.analysis.stats.grouped import Grouped
from harness.analysis.stats.paired import launch_inflation, launch_scatter
from harness.core.errors import BaselineError
from harness.core.files import write_atomically
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.verdict import VerdictKind

CALIBRATION_FORMAT = 3
"""Version of the file. History: 1, the first; 2, with the pairs of duels of an arm against itself; 3, with whether the
sides of a pair worked at the same time."""

READABLE_FORMATS = (1, 2, 3)

FEWEST_DUELS = 10
"""Duels of an arm against itself from which on they tell what launches differ by, better than what is presumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchEffect:
    """What the launches of a duel differ by here, learned from `duels` duels.

    In slices it is the standard deviation `sd` of their log-ratios, whatever their pairs do; where the sides speak one
    after the other, None, and launches differ `inflation` times as much as their pairs explain.
    """

    duels: int
    inflation: float = 1.0
    sd: float | None = None

    def sentence(self) -> str:
        """What is quoted beside a duel's verdicts."""
        what = (
            f"launches differ {self.inflation:.2g} times as much here as their pairs explain"
            if self.sd is None
            else f"launches scatter by {self.sd:.1%} of their own here"
        )
        return f"{what} ({self.duels} duels of a thing against itself): the intervals allow for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLaunches:
    """What is known of launches in slices, and where the sides speak one after the other; None: what is presumed."""

    in_slices: LaunchEffect | None = None
    whole: LaunchEffect | None = None

    def of(self, data: RunData) -> LaunchEffect | None:
        """What holds for a duel, as it was played."""
        return self.in_slices if data.in_slices else self.whole


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFile:
    """All trials of one machine, oldest first."""

    machine: str
    trials: tuple[Trial, ...] = ()
    format: int = CALIBRATION_FORMAT


def place(baselines: Path, machine_key: str) -> Path:
    """Beside the machine's baselines, and reviewed like them."""
    return baselines / f"{machine_key}.calibration.json"


def load(baselines: Path, machine_key: str) -> CalibrationFile:
    """The trials so far; none where the file is not there. BaselineError where it cannot be used."""
    import msgspec

    file = place(baselines, machine_key)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return CalibrationFile(machine=machine_key)
    except OSError as error:
        raise BaselineError(f"cannot be read ({error.strerror})", where=str(file)) from error
    try:
        found = msgspec.json.decode(content, type=CalibrationFile)
    except msgspec.DecodeError as error:
        raise BaselineError(
            f"is no calibration ({error})", where=str(file), remedy="restore it, or remove it and calibrate anew"
        ) from error
    if found.format not in READABLE_FORMATS or found.machine != machine_key:
        raise BaselineError(
            f"is of format {found.format} and machine {found.machine}", where=str(file), remedy="calibrate anew"
        )
    return found


def add(baselines: Path, machine_key: str, trial: Trial) -> CalibrationFile:
    """Keep one more trial, at once: a calibration that is ended early has what it had found."""
    import msgspec

    before = load(baselines, machine_key)
    after = CalibrationFile(machine=machine_key, trials=(*before.trials, trial))
    file = place(baselines, machine_key)
    try:
        write_atomically(file, msgspec.json.format(msgspec.json.encode(after, order="sorted"), indent=1) + b"\n")
    except OSError as error:
        raise BaselineError(f"cannot be written ({error.strerror})", where=str(file)) from error
    return after


def curves(baselines: Path, machine_key: str, *, in_slices: bool | None = None) -> dict[str, OperatingCurve]:
    """Scenario id → its curve, of duels with pairs in slices or without; None: as the newest were played."""
    trials = load(baselines, machine_key).trials
    wanted = trials[-1].in_slices if in_slices is None and trials else in_slices
    return {curve.scenario_id: curve for curve in operating_curves([t for t in trials if t.in_slices == wanted])}


def launch_effect(baselines: Path, machine_key: str, *, in_slices: bool | None = None) -> LaunchEffect | None:
    """What this machine's own duels of a thing against itself say of launches; None while they are too few.

    Of duels with pairs in slices or without; by default, in the mode of the newest.
    """
    trials = load(baselines, machine_key).trials
    if in_slices is None:
        in_slices = bool(trials) and trials[-1].in_slices
    trials = tuple(trial for trial in trials if trial.in_slices == in_slices)
    known = [trial.pairs for trial in trials if len(trial.pairs) > 1]
    if len(known) < FEWEST_DUELS:
        return None
    if in_slices:
        return LaunchEffect(duels=len(known), sd=launch_scatter(known))
    return LaunchEffect(duels=len(known), inflation=launch_inflation(known))


def sentences(baselines: Path, machine_key: str) -> dict[str, str]:
    """Scenario id → what its curve says."""
    return {name: curve.sentence() for name, curve in curves(baselines, machine_key).items()}


def quotes(baselines: Path, data: RunData) -> list[str]:
    """What is known of the gate's errors on this machine, for whoever reads the run's verdicts."""
    key = data.run.machine.key
    known = curves(baselines, key, in_slices=data.in_slices) or curves(baselines, key)
    plain = (replace(each, arm=replace(each.arm, side="", slowdown=0.0)).id for each in data.run.scenarios)
    found = [f"{name}: {known[name].sentence()}" for name in dict.fromkeys(plain) if name in known]
    return found or [UNCALIBRATED]


def trial_of(data: RunData, *, scenario: Scenario, planted: float, pairs: Grouped = ()) -> Trial:
    """The result of a duel with a known truth. `scenario` has no planted delay; `pairs` are its log-ratios."""
    kinds = {verdict.kind for verdict in data.verdicts}
    seconds = (data.run.ended_at or data.run.started_at) - data.run.started_at
    return Trial(
        scenario_id=scenario.id,
        planted=planted,
        regressed=VerdictKind.REGRESSED in kinds,
        improved=VerdictKind.IMPROVED in kinds,
        seconds=seconds,
        pairs=tuple(tuple(round(pair, 6) for pair in launch) for launch in pairs),
        in_slices=data.in_slices,
    )


def order_of(sizes: Sequence[float], duels: int) -> list[float]:
    """The sizes in turns, so that a calibration that is ended early has some of each."""
    return [size for _ in range(duels) for size in sizes]
