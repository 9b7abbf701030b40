"""Calibration: measures how often the gate is wrong on this machine, with duels of known truth.

An arm is compared with itself, and with itself plus a planted slowdown: a real delay in the worker, proportional to its
work. The trials are stored per machine beside the baselines. The curve made from them is quoted with every verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.analysis.operating_curve import UNCALIBRATED, OperatingCurve, Trial, operating_curves
from harness.analysis.stats.grouped import Grouped
from harness.analysis.stats.paired import launch_inflation, launch_scatter
from harness.core.errors import BaselineError, MeasurementError
from harness.core.files import write_atomically
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.verdict import VerdictKind

CALIBRATION_FORMAT = 3
"""Version of the file. 1: the first. 2: with the pairs of duels of an arm against itself. 3: with whether the arms of a
pair ran at the same time."""

READABLE_FORMATS = (1, 2, 3)

FEWEST_DUELS = 10
"""With at least this many duels of an arm against itself, the measured launch variation replaces the assumed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchEffect:
    """The variation between the launches of a duel on this machine, estimated from `duels` duels.

    For duels in slices, `sd` is the standard deviation of the launches' log-ratios, apart from that of their pairs. For
    other duels `sd` is None, and the launches differ `inflation` times as much as their pairs explain.
    """

    duels: int
    inflation: float = 1.0
    sd: float | None = None

    def sentence(self) -> str:
        """The sentence that is quoted with a duel's verdicts."""
        what = (
            f"launches on this machine differ {self.inflation:.2g} times as much as their pairs explain"
            if self.sd is None
            else f"launches on this machine scatter by {self.sd:.1%}, apart from their pairs"
        )
        return f"{what} ({self.duels} duels of an arm against itself); the intervals include this"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLaunches:
    """The launch variation of duels in slices, and of those without (`whole`). None: the assumed value is used."""

    in_slices: LaunchEffect | None = None
    whole: LaunchEffect | None = None

    def of(self, data: RunData) -> LaunchEffect | None:
        """The variation that applies to a duel, by whether it ran in slices."""
        return self.in_slices if data.in_slices else self.whole


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFile:
    """All trials of a machine, oldest first."""

    machine: str
    trials: tuple[Trial, ...] = ()
    format: int = CALIBRATION_FORMAT


def place(baselines: Path, machine_key: str) -> Path:
    """The path of the machine's file, in the folder of its baselines."""
    return baselines / f"{machine_key}.calibration.json"


def load(baselines: Path, machine_key: str) -> CalibrationFile:
    """The stored trials; none if there is no file. Raises BaselineError if the file is unusable."""
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
            f"is not a calibration file ({error})",
            where=str(file),
            remedy="restore it, or remove it and calibrate again",
        ) from error
    if found.format not in READABLE_FORMATS or found.machine != machine_key:
        raise BaselineError(
            f"is of format {found.format} and machine {found.machine}", where=str(file), remedy="calibrate anew"
        )
    return found


def add(baselines: Path, machine_key: str, trial: Trial) -> CalibrationFile:
    """Store one more trial at once, so that an interrupted calibration keeps its results."""
    import msgspec

    before = load(baselines, machine_key)
    after = CalibrationFile(machine=machine_key, trials=(*before.trials, trial))
    file = place(baselines, machine_key)
    try:
        write_atomically(file, msgspec.json.format(msgspec.json.encode(after, order="sorted"), indent=1) + b"\n")
    except OSError as error:
        kept = f"the trials before this one are in {file.name}"
        raise MeasurementError(f"cannot be written ({error.strerror}); {kept}", where=str(file)) from error
    return after


def curves(baselines: Path, machine_key: str, *, in_slices: bool | None = None) -> dict[str, OperatingCurve]:
    """Scenario id → its curve, from duels in slices or without; None: the mode of the newest duels."""
    trials = load(baselines, machine_key).trials
    wanted = trials[-1].in_slices if in_slices is None and trials else in_slices
    return {curve.scenario_id: curve for curve in operating_curves([t for t in trials if t.in_slices == wanted])}


def launch_effect(baselines: Path, machine_key: str, *, in_slices: bool | None = None) -> LaunchEffect | None:
    """The launch variation by this machine's duels of an arm against itself; None if there are too few.

    `in_slices` selects duels in slices or without; None: the mode of the newest duels.
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
    """Scenario id → a sentence about its curve."""
    return {name: curve.sentence() for name, curve in curves(baselines, machine_key).items()}


def quotes(baselines: Path, data: RunData) -> list[str]:
    """Sentences about the gate's error rates on this machine, to print with a run's verdicts."""
    key = data.run.machine.key
    known = curves(baselines, key, in_slices=data.in_slices) or curves(baselines, key)
    plain = (replace(each, arm=replace(each.arm, side="", slowdown=0.0)).id for each in data.run.scenarios)
    found = [f"{name}: {known[name].sentence()}" for name in dict.fromkeys(plain) if name in known]
    return found or [UNCALIBRATED]


def trial_of(data: RunData, *, scenario: Scenario, planted: float, pairs: Grouped = ()) -> Trial:
    """The result of a duel with a known truth. `scenario` has no planted delay; `pairs` are its log-ratios."""
    kinds = {verdict.kind for verdict in data.verdicts}
    return Trial(
        scenario_id=scenario.id,
        planted=planted,
        regressed=VerdictKind.REGRESSED in kinds,
        improved=VerdictKind.IMPROVED in kinds,
        seconds=data.seconds,
        pairs=tuple(tuple(round(pair, 6) for pair in launch) for launch in pairs),
        in_slices=data.in_slices,
    )


def order_of(sizes: Sequence[float], duels: int) -> list[float]:
    """The sizes in turns, so that an interrupted calibration has trials of each size."""
    return [size for _ in range(duels) for size in sizes]
