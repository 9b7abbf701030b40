"""`kokoro-bench load`: load-test a server with concurrent users or a request rate, and find its highest load."""

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
    from harness.core.records.run import RunData
    from harness.core.records.scenario import Scenario, Traffic
    from harness.core.records.value import Reading
    from harness.runner.outputs import Written
    from harness.runner.run_analysis import Conduct

TEXTS = ("chars-200",)


@command()
@configured(*MEASURING)
@click.option(
    "--users",
    "listeners",  # codespell:ignore listeners
    metavar="COUNT,…",
    help="closed loop: simulated users, each sends its next request when the last is answered",
    **LISTED,
)
@click.option("--listeners", "former", hidden=True, **LISTED)  # codespell:ignore listeners
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
    """Load-test a server (--url, --server): latency from the intended start, stalls, throughput and goodput.

    Each load has a measured window between a warm-up and a cool-down. --blocks N repeats it N times, for a soak test:
    rss_slope is the growth of the server's memory per request. A load is sustained if more than 99 % of its requests
    (the target of success_rate) meet every target.
    """
    from harness.analysis.load_targets import requested_traffic, sustained
    from harness.runner.outputs import check_outputs

    if former := given.pop("former"):
        click.echo("kokoro-bench: --listeners is now called --users", err=True)  # codespell:ignore listeners
        key = "listeners"  # codespell:ignore listeners
        given[key] = joined([str(each) for each in (given[key], former) if each])
    config, traffic = with_load_defaults(config, requested_traffic(given))
    check_outputs(config)
    sweep = bool(given["sweep"])
    finished = play(config, traffic, sweep=sweep)
    data = finished.data
    console, written = show_load(finished, config)
    found = sustained(data, config.targets)
    for name, reading in found if sweep else ():
        highest = f"{reading.value:g}" if reading.value is not None else f"none: {_why_none(data, name, reading)}"
        console.print(f"highest sustained load: {highest} ({name})", style="bold", markup=False, soft_wrap=True)
    code = (_sweep_code(finished, found) if sweep else _code(finished)) or written.code
    console.print(f"exit code {int(code)}: {_meaning(code, sweep=sweep)}", style="dim")
    return int(code)


def show_load(finished: "Finished", config: Config) -> "tuple[Console, Written]":
    """Write the outputs of a run of loads. Print its table, its failures and notes, and what was written."""
    from harness.runner.outputs import write_outputs
    from reports.terminal.console import make_console
    from reports.terminal.output import failures
    from reports.terminal.run_table import results_table

    console, data = make_console(), finished.data
    console.print()
    console.print(results_table(data))
    for line in failures(data):
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    written = write_outputs(finished, config)
    for note in (*data.run.notes, *([data.run.reason] if data.run.reason else []), *written.notes):
        console.print(note, markup=False, soft_wrap=True)
    return console, written


def with_load_defaults(config: Config, traffic: "Sequence[Traffic]") -> "tuple[Config, Sequence[Traffic]]":
    """One launch, one block by default, and a budget of the longest time that the loads may take.

    A budget given by the user is kept: it limits the wait for the last answers. UsageError if the loads alone take
    longer.
    """
    from harness.analysis.load_targets import within_budget
    from harness.plan.config import with_values

    if not config["url"]:
        raise UsageError("a load takes a server", where="load", remedy="--url http://127.0.0.1:8880, or --server NAME")
    blocks = config.chosen("blocks", 1)
    rounds = blocks * (len(config["text"]) + len(config["say"]) or len(TEXTS))
    if config["budget"]:
        traffic = within_budget(traffic, config["budget"], rounds=rounds)
    budget = rounds * sum(each.longest_s for each in traffic)
    return with_values(config, {"launches": 1, "blocks": blocks, "budget": budget}), traffic


def play(config: Config, traffic: "Sequence[Traffic]", *, sweep: bool) -> "Finished":
    """Measure with the live display. If it is interrupted, return the loads stored until then."""
    from harness.analysis.conclude import policy_of
    from harness.analysis.load_targets import check_load, holds
    from harness.core.records.scenario import Mode
    from harness.measure.conductor.load_runs import LoadConductor, try_every_load
    from harness.plan.matrix import ScenarioRequest
    from harness.runner.progress import measure_live
    from harness.runner.run_analysis import RunAnalysis, undecided
    from harness.runner.selection import wanted_scenarios

    def load_holds(scenario: "Scenario", _block: "Block", repetitions: "Sequence[Repetition]") -> bool:
        return holds(scenario, repetitions, config.targets)

    conduct: Conduct = lambda plan, worker_factory, clock, emit, _watch: LoadConductor(  # noqa: E731 - typed where it stands
        plan, worker_factory=worker_factory, clock=clock, emit=emit, holds=load_holds if sweep else try_every_load
    )
    request = ScenarioRequest(mode=Mode.ENDPOINT, texts=TEXTS, variant=None, traffic=tuple(traffic))
    return measure_live(
        config,
        wanted_scenarios(config, [request], "quick"),
        selection="load",
        analysis=RunAnalysis(
            conclude=lambda values: check_load(values.data, config, derived=values),
            enough=undecided,
            policy=policy_of(config),
        ),
        conduct=conduct,
    )


def _unmeasured(data: "RunData", name: str) -> bool:
    """Whether the sweep `name` has a target without a value and none that was missed: too few valid requests."""
    from harness.core.records.verdict import TargetKind

    swept = name.rpartition(", ")[0] + "/"
    kinds = {each.kind for each in data.targets if each.scenario_id.startswith(swept)}
    return TargetKind.UNKNOWN in kinds and TargetKind.MISSED not in kinds


def _why_none(data: "RunData", name: str, reading: "Reading") -> str:
    if _unmeasured(data, name):
        return "the lightest load has no valid request in its measured window"
    return reading.reason


def _sweep_code(finished: "Finished", found: "Sequence[tuple[str, Reading]]") -> ExitCode:
    """The exit code of a sweep: a load that has no valid request was not measured, which is not a missed target."""
    if finished.code is ExitCode.INTERRUPTED:
        return ExitCode.INTERRUPTED
    data = finished.data
    failed = [name for name, reading in found if reading.value is None]
    if not data.blocks or (failed and all(_unmeasured(data, name) for name in failed)):
        return ExitCode.MEASUREMENT
    return ExitCode.WORSE if failed or not found else ExitCode.OK


def _code(finished: "Finished") -> ExitCode:
    """The exit code of loads without a sweep: a missed target, else a target without a value, else success."""
    from harness.core.records.verdict import TargetKind

    if finished.code is ExitCode.INTERRUPTED:
        return ExitCode.INTERRUPTED
    kinds = {each.kind for each in finished.data.targets}
    if TargetKind.MISSED in kinds:
        return ExitCode.WORSE
    lost = TargetKind.UNKNOWN in kinds or not kinds or bool(finished.data.verdicts)
    return ExitCode.MEASUREMENT if lost else ExitCode.OK


def _meaning(code: ExitCode, *, sweep: bool) -> str:
    from reports.terminal.output import AFTER_MEASURING

    return {
        **AFTER_MEASURING,
        ExitCode.OK: "the lightest load was sustained" if sweep else "every target met",
        ExitCode.WORSE: "the lightest load was not sustained" if sweep else "a target was missed",
        ExitCode.MEASUREMENT: "a load could not be measured",
        ExitCode.INTERRUPTED: "interrupted; finished loads are stored",
    }[code]
