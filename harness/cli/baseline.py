"""`kokoro-bench baseline`: promote runs and show the baselines."""

from typing import TYPE_CHECKING

import click

from harness.cli.baseline_json import print_changes, print_machines, print_not_clean, print_reference, print_values
from harness.cli.options import configured, load_run, open_results
from harness.core.errors import BaselineError, UsageError
from harness.plan.config import Config

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from harness.analysis.promotion import Promotion
    from harness.core.records.reference import ReferenceChange
    from harness.core.records.run import RunData
    from harness.store.baselines import BaselineChanges


@click.group()
def baseline() -> None:
    """Promote a run to the baseline, or show the baselines. Nothing else changes them."""


ONLY = click.option(
    "--only", multiple=True, metavar="PATTERN",
    help="accept only the scenarios whose ids match, such as '*/chars-12/*' (can be repeated)",
)  # fmt: skip


JSON = click.option("--json", "as_json", is_flag=True, help="print JSON")


@baseline.command()
@configured("results", "baselines")
@click.argument("run", default="latest")
@click.option("--reason", default="", metavar="TEXT", help="why, for those who review reference.toml")
@ONLY
@click.option("--despite-regressions", is_flag=True, help="accept a run with regressions")
@click.option("--clean", is_flag=True, help="for a program: do nothing, and say why, if a person has to accept RUN")
@JSON
def promote(
    config: Config,
    run: str,
    reason: str,
    only: tuple[str, ...],
    despite_regressions: bool,  # noqa: FBT001 - click's own
    clean: bool,  # noqa: FBT001 - likewise
    as_json: bool,  # noqa: FBT001 - likewise
) -> None:
    """Add RUN to the baseline, which keeps its 10 newest runs, and what its workers loaded to the reference.

    RUN is an id, the beginning of one, or latest: the newest of `run`, the suites, `load` or the schedule, no duel.

    A regression is accepted with --only and --reason together, or with --despite-regressions. What RUN leaves undecided
    beyond its tolerance is named, and accepted unless --clean is given.
    """
    from harness.analysis.promotion import why_not_clean
    from harness.store.baselines import accept
    from harness.store.reference_file import reference_path

    reason = " ".join(reason.split())
    data = _load(config, run)
    if clean and (why_not := why_not_clean(data)):
        if as_json:
            print_not_clean(data.run.id, why_not)
        else:
            click.echo(f"{data.run.id} is not promoted: {why_not}")
        return
    promotion = _promotion(config, data, reason=reason, only=only)
    _check(data, promotion.scenario_ids, accepted=despite_regressions or bool(only and reason))
    changes = accept(config.baselines, promotion.entries, promotion.arms, renew=bool(reason))
    if as_json:
        print_changes(changes, data, promotion)
        return
    _print(changes, data, promotion)
    files = {change.file for change in changes.figures}
    click.echo(f"accepted {data.run.id} in {len(files)} files under {config.baselines / data.run.machine.key}")
    if changes.reference:
        click.echo(f"the reference is in {reference_path(config.baselines)}")
    if any(change.differences for change in changes.reference) and not reason:
        click.echo('no reason is given: promote it again with --reason "…" to tell those who review it')


@baseline.command()
@configured("results", "baselines")
@click.argument("run", default="latest")
@ONLY
@JSON
def diff(config: Config, run: str, only: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click's own
    """Show what promoting RUN would change. RUN is as for promote."""
    from harness.store.baselines import accept

    data = _load(config, run)
    promotion = _promotion(config, data, reason="", only=only)
    changes = accept(config.baselines, promotion.entries, promotion.arms, write=False)
    if as_json:
        print_changes(changes, data, promotion)
        return
    _print(changes, data, promotion)


@baseline.command()
@configured("baselines")
@click.option("--machine", metavar="KEY", help="machine key (default: this machine's)")
@click.option("--reference", is_flag=True, help="show the accepted arms, which every machine shares")
@JSON
def show(config: Config, machine: str | None, reference: bool, as_json: bool) -> None:  # noqa: FBT001 - click's own
    """Show the baseline of a machine, or the accepted reference."""
    if reference:
        _show_reference(config, as_json=as_json)
        return
    from statistics import median

    from harness.metrics.registry import metric
    from harness.store.baselines import load_baselines
    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    key = machine or _this_machine()
    baselines = load_baselines(config.baselines, key)
    if not baselines.files:
        others = baselines.other_machines
        remedy = f"kokoro-bench baseline show --machine {others[0]}" if others else "kokoro-bench baseline promote RUN"
        raise BaselineError(baselines.missing_reason("", ""), where=str(config.baselines), remedy=remedy)
    if as_json:
        print_values(baselines)
        return
    table = PlainTable("scenario", "metric", "median", "runs", "newest", title=f"Baseline of {key}")
    for scenario_id, name in baselines.pairs():
        points = baselines.for_pair(scenario_id, name)
        middle = metric(name).format(median(point.median for point in points))
        table.add_row(scenario_id, name, middle, str(len(points)), points[-1].run.id)
    make_console().print(table)


@baseline.command(name="list")
@configured("baselines")
@JSON
def list_all(config: Config, as_json: bool) -> None:  # noqa: FBT001 - click's own
    """List the machines that have baselines."""
    from harness.store.baselines import list_machines
    from reports.text.format import count

    machines = list_machines(config.baselines)
    if as_json:
        print_machines(machines)
        return
    if not machines:
        click.echo(f"no baselines under {config.baselines} — kokoro-bench baseline promote RUN makes one")
    for machine in machines:
        newest = machine.runs[-1].id if machine.runs else "–"
        scenarios, runs = count(machine.scenarios, "scenario"), count(len(machine.runs), "run")
        click.echo(f"{machine.machine_key}: {scenarios}, {runs}, newest {newest}")


def _load(config: Config, run: str) -> "RunData":
    from harness.core.records.run import MEASURED

    with open_results(config) as store:
        data: RunData = load_run(store, run, among=MEASURED)
    return data


def _promotion(config: Config, data: "RunData", *, reason: str, only: tuple[str, ...]) -> "Promotion":
    from datetime import UTC, datetime

    from harness.analysis.promotion import Acceptance, promotion_of
    from harness.measure.runtimes.accepted_source import SourceAtCommits

    acceptance = Acceptance(
        date=datetime.now(tz=UTC).date().isoformat(),
        reason=reason,
        only=only,
        project=str(config.root),
        find_source=SourceAtCommits(root=config.root).find,
    )
    return promotion_of(data, acceptance)


def _check(data: "RunData", chosen: "AbstractSet[str]", *, accepted: bool) -> None:
    """Refuse a run that was not finished, was measured in slices, or has regressions: it is no standard for others."""
    from harness.core.records.run import RunStatus
    from harness.core.records.verdict import VerdictKind

    if data.run.status not in (RunStatus.COMPLETE, RunStatus.PARTIAL):
        raise UsageError(
            f"a run that is {data.run.status.value} cannot be accepted", where=data.run.id, remedy="kokoro-bench run"
        )
    if data.run.replay_of:
        raise UsageError(
            "a replay is a part of its run and measured both sides of it",
            where=data.run.id,
            remedy=f"kokoro-bench baseline promote {data.run.replay_of}",
        )
    if any(block.slice_ns for block in data.blocks):
        raise UsageError(
            "the arms of this duel ran at the same time: only their ratio is valid, not the single values",
            where=data.run.id,
            remedy="kokoro-bench run",
        )
    worse = [
        each
        for each in data.verdicts
        if each.kind is VerdictKind.REGRESSED and each.gates and each.scenario_id in chosen
    ]
    if worse and not accepted:
        raise UsageError(
            f"{len(worse)} figures regressed, first {worse[0].metric} of {worse[0].scenario_id}",
            where=data.run.id,
            remedy="fix them, accept single scenarios with --only PATTERN --reason TEXT, "
            "or accept the new level of all with --despite-regressions",
        )


def _print(changes: "BaselineChanges", data: "RunData", promotion: "Promotion") -> None:
    from harness.analysis.promotion import perhaps_worse, undecided_sentence
    from harness.metrics.registry import metric

    if not changes.figures and not changes.reference:
        click.echo("nothing changes")
    for change in changes.figures:
        shown = metric(change.metric)
        before = shown.format(change.before) if change.before is not None else "none"
        after = shown.format(change.after) if change.after is not None else "none"
        click.echo(f"{change.scenario_id}  {change.metric}: {before} → {after}")
    for each in changes.reference:
        click.echo(f"reference  {each.arm.arm_id}: {_what(each)}")
    for arm_id in promotion.unknown:
        click.echo(f"reference  {arm_id}: left as it is, because its workers did not report what they loaded")
    for verdict in perhaps_worse(data.verdicts, promotion.scenario_ids):
        click.echo(f"not known to be unchanged: {undecided_sentence(verdict)}")


def _what(change: "ReferenceChange") -> str:
    """What an acceptance changes of an arm, in words."""
    arm = change.arm
    scenarios = f"{len(arm.scenarios)} scenario{'s' if len(arm.scenarios) > 1 else ''}"
    what = ", ".join(map(str, change.differences)) or (
        "new" if len(change.added) == len(arm.scenarios) else "same subject"
    )
    remarks = ["measured with uncommitted changes"] if arm.dirty else []
    remarks += [f"cannot be restored once it changes: {each}" for each in arm.not_rebuildable]
    return "; ".join([f"{what} ({scenarios})", *remarks])


def _show_reference(config: Config, *, as_json: bool) -> None:
    """Print the accepted arms."""
    from harness.store.reference_file import load_reference, reference_path
    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    reference = load_reference(config.baselines)
    if not reference.arms:
        raise BaselineError(
            "no reference is accepted yet",
            where=str(reference_path(config.baselines)),
            remedy="kokoro-bench baseline promote RUN",
        )
    if as_json:
        print_reference(reference)
        return
    table = PlainTable(
        "arm", "accepted", "run", "scenarios", "engine", "model", "packages", "reason", title="Accepted reference"
    )
    for arm in reference.arms:
        subject = arm.subject
        table.add_row(
            arm.arm_id,
            arm.date,
            arm.run,
            str(len(arm.scenarios)),
            " ".join(filter(None, (subject.engine, subject.engine_version, arm.revision[:8], "dirty" * arm.dirty))),
            subject.model_sha256[:8],
            ", ".join(f"{name} {version}" for name, version in subject.packages),
            arm.reason,
        )
    make_console().print(table)
    for arm in reference.arms:
        for lack in arm.not_rebuildable:
            click.echo(f"{arm.arm_id} cannot be restored once this changes: {lack}")


def _this_machine() -> str:
    from harness.measure.system.machine import identify

    return identify().key
