"""`kokoro-bench baseline`: promote runs and show the baselines."""

from typing import TYPE_CHECKING

import click

from harness.cli.options import configured, open_results
from harness.core.errors import BaselineError, UsageError
from harness.plan.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.core.records.run import RunData
    from harness.store.baselines import BaselineChange


@click.group()
def baseline() -> None:
    """Promote a run to the baseline, or show the baselines. Nothing else changes them."""


@baseline.command()
@configured("results", "baselines")
@click.argument("run", default="latest")
@click.option("--despite-regressions", is_flag=True, help="accept a run with regressions")
def promote(config: Config, run: str, despite_regressions: bool) -> None:  # noqa: FBT001 - click's own
    """Add RUN to the baseline. A baseline keeps its 10 newest runs."""
    from harness.analysis.promotion import baseline_entries
    from harness.store.baselines import promote as accept

    data = _load(config, run)
    _check(data, despite_regressions=despite_regressions)
    changes = accept(config.baselines, baseline_entries(data))
    _print(changes)
    files = {change.file for change in changes}
    click.echo(f"accepted {data.run.id} in {len(files)} files under {config.baselines / data.run.machine.key}")


@baseline.command()
@configured("results", "baselines")
@click.argument("run", default="latest")
def diff(config: Config, run: str) -> None:
    """Show what promoting RUN would change."""
    from harness.analysis.promotion import baseline_entries
    from harness.store.baselines import diff as compare

    _print(compare(config.baselines, baseline_entries(_load(config, run))))


@baseline.command()
@configured("baselines")
@click.option("--machine", help="machine key (default: this machine's)")
def show(config: Config, machine: str | None) -> None:
    """Show the baseline of a machine."""
    from statistics import median

    from harness.metrics.registry import metric
    from harness.store.baselines import load_baselines
    from reports.terminal.output import make_console
    from reports.terminal.plain_table import PlainTable

    key = machine or _this_machine()
    baselines = load_baselines(config.baselines, key)
    if not baselines.files:
        raise BaselineError(
            baselines.missing_reason("", ""), where=str(config.baselines), remedy="kokoro-bench baseline list"
        )
    table = PlainTable(f"Baseline of {key}")
    for column in ("scenario", "metric", "median", "runs", "newest"):
        table.add_column(column, overflow="fold")
    for scenario_id, name in baselines.pairs():
        points = baselines.for_pair(scenario_id, name)
        middle = metric(name).format(median(point.median for point in points))
        table.add_row(scenario_id, name, middle, str(len(points)), points[-1].run.id)
    make_console().print(table)


@baseline.command(name="list")
@configured("baselines")
def list_all(config: Config) -> None:
    """List the machines that have baselines."""
    from harness.store.baselines import list_machines

    machines = list_machines(config.baselines)
    if not machines:
        click.echo(f"no baselines under {config.baselines} — kokoro-bench baseline promote RUN makes one")
    for machine in machines:
        newest = machine.runs[-1].id if machine.runs else "–"
        click.echo(f"{machine.machine_key}: {machine.scenarios} scenarios, {len(machine.runs)} runs, newest {newest}")


def _load(config: Config, run: str) -> "RunData":
    with open_results(config) as store:
        data: RunData = store.load(store.resolve(run))
    return data


def _check(data: "RunData", *, despite_regressions: bool) -> None:
    """Refuse a run that was not finished, was measured in slices, or has regressions: it is no standard for others."""
    from harness.core.records.run import RunStatus
    from harness.core.records.verdict import VerdictKind

    if data.run.status not in (RunStatus.COMPLETE, RunStatus.PARTIAL):
        raise UsageError(
            f"a run that is {data.run.status.value} cannot be accepted", where=data.run.id, remedy="kokoro-bench run"
        )
    if any(block.slice_ns for block in data.blocks):
        raise UsageError(
            "the arms of this duel ran at the same time: only their ratio is valid, not the single values",
            where=data.run.id,
            remedy="kokoro-bench run",
        )
    worse = [verdict for verdict in data.verdicts if verdict.kind is VerdictKind.REGRESSED]
    if worse and not despite_regressions:
        raise UsageError(
            f"{len(worse)} figures regressed, first {worse[0].metric} of {worse[0].scenario_id}",
            where=data.run.id,
            remedy="fix them, or accept the new level with --despite-regressions",
        )


def _print(changes: "Sequence[BaselineChange]") -> None:
    from harness.metrics.registry import metric

    if not changes:
        click.echo("nothing changes")
    for change in changes:
        shown = metric(change.metric)
        before = shown.format(change.before) if change.before is not None else "none"
        after = shown.format(change.after) if change.after is not None else "none"
        click.echo(f"{change.scenario_id}  {change.metric}: {before} → {after}")


def _this_machine() -> str:
    from harness.measure.system.machine import identify

    return identify().key
