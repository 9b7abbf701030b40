"""`kokoro-bench load`: many listeners of a server at once, or requests at a rate, and what it bears."""

from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command
from harness.cli.options import LISTED, MEASURING, configured
from harness.core.errors import ExitCode, UsageError
from harness.plan.config import Config, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from harness.analysis.finished import Finished
    from harness.core.records.repetition import Block, Repetition
    from harness.core.records.scenario import Scenario, Traffic
    from harness.runner.run import Conduct

TEXTS = ("chars-200",)


@command()
@configured(*MEASURING)
@click.option(
    "--users",
    "listeners",
    metavar="COUNT,…",
    help="closed loop: simulated users, each sends its next request when the last is answered",
    **LISTED,
)
@click.option("--listeners", "former", hidden=True, **LISTED)
@click.option("--rate", metavar="RATE,…", help="open loop: requests per second, independent of the answers", **LISTED)
@click.option("--ramp", metavar="FIRST:LAST", help="open loop: a rate that changes linearly")
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "constant"]),
    default="poisson",
    show_default=True,
    help="distribution of the requests of a --rate",
)
@click.option("--seconds", metavar="DURATION", default="30s", show_default=True, help="measured window")
@click.option(
    "--warm-up", metavar="DURATION", default="5s", show_default=True, help="load before the window; not measured"
)
@click.option(
    "--cool-down", metavar="DURATION", default="2s", show_default=True, help="load after the window; not measured"
)
@click.option(
    "--drain",
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="how long to wait for answers after a load; answers that are still incomplete count as unfinished",
)
@click.option("--listen", is_flag=True, help="users listen to the end of an answer before their next request")
@click.option(
    "--sweep", is_flag=True, help="increase the load until it is not sustained, and print the highest sustained load"
)
def load(config: Config, **given: str | bool | None) -> int:  # fmt: skip
    """Load-test a server (--url): latency from the intended start, stalls, throughput and goodput.

    Each load has a measured window between a warm-up and a cool-down. --blocks N repeats it N times, for a soak test:
    rss_slope is the growth of the server's memory per request. A load is sustained if more than 99 % of its requests
    (the target of success_rate) meet every target.
    """
    from harness.analysis.load_targets import requested_traffic, sustained
    from harness.runner.outputs import check_outputs

    if former := given.pop("former"):
        click.echo("kokoro-bench: --listeners is now called --users", err=True)
        given["listeners"] = joined([str(each) for each in (given["listeners"], former) if each])
    config, traffic = settled(config, requested_traffic(given))
    check_outputs(config)
    sweep = bool(given["sweep"])
    finished = play(config, traffic, sweep=sweep)
    data = finished.data
    console = show_load(finished, config)
    found = sustained(data, config.targets)
    for name, reading in found if sweep else ():
        said = f"{reading.value:g}" if reading.value is not None else f"none: {reading.reason}"
        console.print(f"highest load that was borne: {said} ({name})", style="bold", markup=False, soft_wrap=True)
    borne = bool(found) and all(reading.value is not None for _, reading in found)
    code = _code(finished, sweep=sweep, borne=borne)
    console.print(f"exit code {int(code)}: {_meaning(code, sweep=sweep)}", style="dim")
    return int(code)


def show_load(finished: "Finished", config: Config) -> "Console":
    """Print a run of loads: its table, its failures and notes, and what was written. Returns the console."""
    from harness.runner.outputs import write_outputs
    from reports.terminal.output import failures, make_console
    from reports.terminal.run_table import results_table

    console, data = make_console(), finished.data
    console.print()
    console.print(results_table(data))
    for line in failures(data):
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    for note in (*data.run.notes, *([data.run.reason] if data.run.reason else []), *write_outputs(finished, config)):
        console.print(note, markup=False, soft_wrap=True)
    return console


def settled(config: Config, traffic: "Sequence[Traffic]") -> "tuple[Config, Sequence[Traffic]]":
    """One launch, and one block unless more are asked for; the budget is what the loads take at most.

    A budget that was given is kept: it bounds how long last answers are waited for. UsageError where the loads alone
    take longer.
    """
    from harness.analysis.load_targets import within_budget
    from harness.plan.config import with_values

    if not config["url"]:
        raise UsageError("a load takes a server", where="load", remedy="--url http://127.0.0.1:8880")
    blocks = config.chosen("blocks", 1)
    rounds = blocks * (len(config["text"]) + bool(config["say"]) or len(TEXTS))
    if config["budget"]:
        traffic = within_budget(traffic, config["budget"], rounds=rounds)
    budget = rounds * sum(each.longest_s for each in traffic)
    return with_values(config, {"launches": 1, "blocks": blocks, "budget": budget}), traffic


def play(config: Config, traffic: "Sequence[Traffic]", *, sweep: bool) -> "Finished":
    """Measure, with the live display; interrupted, what was kept until then."""
    from harness.analysis.conclude import policy_of
    from harness.analysis.load_targets import check_load, holds
    from harness.core.records.scenario import Mode
    from harness.measure.conductor.load_runs import LoadConductor, try_every_load
    from harness.plan.matrix import ScenarioRequest
    from harness.runner import run
    from harness.runner.progress import LiveConsole

    def borne(scenario: "Scenario", _block: "Block", repetitions: "Sequence[Repetition]") -> bool:
        return holds(scenario, repetitions, config.targets)

    conduct: Conduct = lambda plan, worker_factory, clock, emit, _watch: LoadConductor(  # noqa: E731 - typed where it stands
        plan, worker_factory=worker_factory, clock=clock, emit=emit, holds=borne if sweep else try_every_load
    )
    request = ScenarioRequest(mode=Mode.ENDPOINT, texts=TEXTS, variant=None, traffic=tuple(traffic))
    with LiveConsole() as console:
        try:
            return run.measure(
                config,
                run.wanted_scenarios(config, [request], "quick"),
                selection="load",
                handlers=[console],
                report=console.report,
                analysis=run.RunAnalysis(
                    conclude=lambda values: check_load(values.data, config, derived=values),
                    enough=run.undecided,
                    policy=policy_of(config),
                ),
                conduct=conduct,
            )
        except run.Interrupted as interrupted:
            return interrupted.finished


def _code(finished: "Finished", *, sweep: bool, borne: bool) -> ExitCode:
    from harness.core.records.verdict import TargetKind

    if finished.code is ExitCode.INTERRUPTED:
        return ExitCode.INTERRUPTED
    if sweep:
        lost = not finished.data.blocks
        return ExitCode.MEASUREMENT if lost else ExitCode.OK if borne else ExitCode.WORSE
    kinds = {each.kind for each in finished.data.targets}
    if TargetKind.MISSED in kinds:
        return ExitCode.WORSE
    lost = TargetKind.UNKNOWN in kinds or not kinds or bool(finished.data.verdicts)
    return ExitCode.MEASUREMENT if lost else ExitCode.OK


def _meaning(code: ExitCode, *, sweep: bool) -> str:
    return {
        ExitCode.OK: "the lightest load was borne" if sweep else "every target met",
        ExitCode.WORSE: "the lightest load was not borne" if sweep else "a target was missed",
        ExitCode.MEASUREMENT: "a load could not be measured",
        ExitCode.INTERRUPTED: "interrupted; finished loads are stored",
    }[code]
