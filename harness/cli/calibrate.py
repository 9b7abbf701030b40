"""`kokoro-bench calibrate`: the gate's own error rates on this machine."""

from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command
from harness.cli.options import SEARCHING, configured, one_arm, read_value
from harness.core.errors import ExitCode, UsageError
from harness.core.output_files import check_directory
from harness.core.quantities import as_positive_share, as_share
from harness.plan.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.analysis.finished import Finished
    from harness.runner.calibration import KnownLaunches

SIZES = "0,1%,2%,5%,10%"


def sizes_of(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[float, ...]:
    """Ratios from `0,1%,0.05`."""
    del context, parameter
    return tuple(read_value(as_share, text, option="--sizes") for text in ",".join(value or (SIZES,)).split(","))


@command()
@configured(*SEARCHING)
@click.option(
    "--duels", type=click.IntRange(min=1), default=20, show_default=True, metavar="COUNT", help="duels per size"
)
@click.option(
    "--sizes",
    multiple=True,
    show_default=SIZES,
    callback=sizes_of,
    metavar="PERCENT,…",
    help="planted slowdowns; 0 is an A/A duel",
)
@click.option("--effect", default=None, metavar="PERCENT", help="smallest change to detect (default: the planted size)")
@click.option("--show", "show_only", is_flag=True, help="show the stored rates only")
def calibrate(
    config: Config,
    duels: int,
    sizes: tuple[float, ...],
    effect: str | None,
    show_only: bool,  # noqa: FBT001 - click's own
) -> int:
    """Run duels of the configured arm against itself, with and without planted slowdowns, and store the error rates.

    --budget is the budget of one duel (default: 60 s). Finished duels are kept if the command is interrupted.
    """
    from harness.runner import calibration
    from harness.runner.resources import machine_key
    from harness.runner.run_duel import launches_known_here
    from reports.terminal.console import make_console, tell

    console = make_console()
    lost = 0
    if not show_only:
        check_directory(config.baselines, where="--baselines")
        wanted = read_value(as_positive_share, effect, option="--effect") if effect else None
        # Read once: results of the trials must not change the rule that the trials test.
        launches = launches_known_here(config)
        for number, planted in enumerate(calibration.order_of(sizes, duels)):
            console.print(f"duel {number + 1} of {duels * len(sizes)}: planted {planted:.1%}")
            finished, measured = _trial(config, planted, number, wanted=wanted, launches=launches)
            if finished.code is ExitCode.INTERRUPTED:
                return int(finished.code)
            if not measured:
                lost += 1
                tell(console, f"not measured: {_why(finished)}")
            if not number:
                # How pairs are run is part of the measurement method; the reason is the same in every trial.
                for note in finished.data.run.notes:
                    tell(console, note)
    for sentence in _rates(config, machine_key(config)):
        tell(console, sentence)
    if lost:
        console.print(f"{lost} duels could not be measured validly and were left out: `kokoro-bench runs list`")
    return int(ExitCode.MEASUREMENT if lost else ExitCode.OK)


def _rates(config: Config, machine: str) -> "Iterator[str]":
    """A sentence for each stored curve and for the effect of launches, or one that says that there are none."""
    from harness.runner import calibration

    curves = calibration.curves(config.baselines, machine)
    for curve in curves.values():
        yield f"{curve.scenario_id}: {curve.sentence()}"
    if not curves:
        yield f"no rates of {machine} are stored in {config.baselines}: `kokoro-bench calibrate` measures them"
    if effect_of_launches := calibration.launch_effect(config.baselines, machine):
        yield effect_of_launches.sentence()


def _why(finished: "Finished") -> str:
    """Why a duel could not be measured, as its verdict says."""
    from harness.core.records.verdict import VerdictKind

    failed = (verdict for verdict in finished.data.verdicts if verdict.kind is VerdictKind.FAILED)
    return next((verdict.reason for verdict in failed if verdict.reason), "no reason was given")


def _trial(
    config: Config, planted: float, number: int, *, wanted: float | None, launches: "KnownLaunches"
) -> "tuple[Finished, bool]":
    """Run one duel and return whether it could be measured. Its outcome is stored before the next duel begins."""
    from dataclasses import replace

    from harness.core.records.verdict import VerdictKind
    from harness.plan.config import with_values
    from harness.runner import calibration
    from harness.runner.duel import DuelArms, latency_pairs
    from harness.runner.run_duel import run_duel

    reference = one_arm(config)
    if config["text"] and len(config["text"]) > 1:
        raise UsageError("calibrate takes one text class", where="--text", remedy="calibrate each one separately")
    sides = DuelArms(candidate=replace(reference, slowdown=planted), reference=reference).with_distinct_labels()
    seeded = with_values(config, {"seed": config["seed"] + number})
    finished = run_duel(
        seeded,
        sides,
        effect=wanted or planted or 0.05,
        selection=f"calibrate: planted {planted:.1%}",
        launches=launches,
        quiet=True,
    )
    data = finished.data
    if finished.code is ExitCode.INTERRUPTED:
        return finished, False
    if any(verdict.kind is VerdictKind.FAILED for verdict in data.verdicts):
        # A duel without values says nothing about the gate.
        return finished, False
    scenario = data.run.scenarios[1]
    plain = replace(scenario, arm=replace(scenario.arm, side="", slowdown=0.0))
    pairs = () if planted else latency_pairs(data.counted)
    trial = calibration.trial_of(data, scenario=plain, planted=planted, pairs=pairs)
    calibration.add(config.baselines, data.run.machine.key, trial)
    return finished, True
