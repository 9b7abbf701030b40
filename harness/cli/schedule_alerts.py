"""`kokoro-bench schedule alert` and `confirm`: what a scheduled run has found, and the duels that confirm it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import STORED, configured
from harness.cli.schedule_file import FILE, declared_schedule
from harness.core.errors import ExitCode, UsageError
from harness.plan.config import Config, load_config

if TYPE_CHECKING:
    from harness.core.records.schedule import Alert
    from harness.runner.confirm import ComparedWith, Confirmed
    from harness.schedule.job import Job
    from harness.schedule.service import Here


@click.command()
@configured("results")
@FILE
@click.option("--markdown", is_flag=True, help="print Markdown for an issue tracker")
@click.option("--json", "as_json", is_flag=True, help="print the alert as JSON")
@click.argument("key", type=click.IntRange(min=1), metavar="ALERT")
def alert(
    config: Config,
    file: Path | None,
    key: int,
    markdown: bool,  # noqa: FBT001 - click's own
    as_json: bool,  # noqa: FBT001 - likewise
) -> None:
    """Show ALERT: what, since when, how sure, confirmed by what, the suspects, and what to do next.

    ALERT is the number of an alert; `schedule status` lists them. The report has the same as a page.
    """
    from harness.core.redaction import published, published_record
    from harness.schedule.service import opened
    from reports.views.alerts import alert_view, markdown_alert, runs_of, text_alert

    with opened(config, declared_schedule(config, file).settings) as here:
        found = known_alert(here, key)
        if as_json:
            import msgspec

            click.echo(msgspec.json.encode(published_record(found)).decode())
            return
        stored = [run_id for run_id in runs_of(found) if here.store.row(run_id)]
        runs = {run_id: published(each) for run_id, each in zip(stored, here.store.outlines(stored), strict=True)}
    view = alert_view(found, runs)
    click.echo(markdown_alert(view) if markdown else text_alert(view), nl=False)


@click.command()
@configured(*STORED, "budget", "wait")
@FILE
@click.argument("keys", nargs=-1, required=True, type=click.IntRange(min=1), metavar="ALERT...")
def confirm(config: Config, file: Path | None, keys: tuple[int, ...]) -> int:
    """Measure again what ALERTs report, pair by pair with what was accepted.

    ALERT is the number of an alert; `schedule status` lists them. All must be found in one run. A step of the history
    is compared with what ran before it. The scheduler runs this command by itself after a run that found a change; the
    default budget is that of the job (`confirm`).
    """
    from harness.core.records.schedule import Confirmation
    from harness.schedule.job import CONFIRM_S
    from harness.schedule.service import opened

    with opened(config, declared_schedule(config, file).settings) as here:
        alerts = _alerts(here, keys)
        job = job_of(here, alerts)
        budget = {"budget": f"{job.confirm_s or CONFIRM_S:g}s"}
        found = _measured(here, load_config({**budget, **dict(job.options), **config.given}), alerts)
        for alert in alerts:
            reason = found.reasons.get(alert.subject)
            if reason and alert.confirmation is Confirmation.WAITING:
                when_there_is_space(partial(here.journal.note_confirmation, alert.key, reason=reason))
    return _shown(found, config)


def when_there_is_space(write: Callable[[], None]) -> None:
    """Write to the log of the schedule; a full disk is waited for, as in a run."""
    from harness.core.clock import SystemClock
    from harness.store.retry import with_retries
    from reports.terminal.console import make_console, tell

    console = make_console()
    with_retries(write, clock=SystemClock(), report=lambda message: tell(console, message, "dim"))


def known_alert(here: "Here", key: int) -> "Alert":
    """The alert of a number. UsageError if there is none."""
    known = {each.key: each for each in here.journal.alerts()}
    if key not in known:
        raise UsageError("no alert has this number", where=str(key), remedy="kokoro-bench schedule status")
    return known[key]


def _alerts(here: "Here", keys: Sequence[int]) -> "list[Alert]":
    """The alerts of these numbers. UsageError unless all are on changes that one run has found."""
    from harness.schedule.alerts import CHANGES

    found: list[Alert] = []
    for key in dict.fromkeys(keys):
        alert = known_alert(here, key)
        if alert.kind not in CHANGES or not alert.found_in:
            raise UsageError("no duel can confirm it", where=f"alert {key}", remedy="only a change has two sides")
        if alert.found_in != (found[0] if found else alert).found_in:
            raise UsageError(
                f"alert {key} was found in run {alert.found_in}, and alert {found[0].key} in {found[0].found_in}",
                where="ALERT...",
                remedy="confirm the alerts of one run at a time",
            )
        found.append(alert)
    return found


def job_of(here: "Here", alerts: "Sequence[Alert]") -> "Job":
    """The job whose run found the alerts, as it is now."""
    from harness.schedule.job_store import JobStore

    run_id = alerts[0].found_in
    fire = here.journal.fire_of_run(run_id)
    if fire is None:
        raise UsageError("no schedule made this run", where=run_id)
    with JobStore(here.journal, fire.runner) as job_store:
        return job_store.get(fire.declared_job).job


def _measured(here: "Here", config: Config, alerts: "Sequence[Alert]") -> "Confirmed":
    """The duels of the alerts."""
    from harness.runner.confirm import confirm as confirm_run
    from harness.runner.progress import LiveConsole

    with LiveConsole() as console:
        return confirm_run(
            config,
            here.store.load(alerts[0].found_in),
            compared_with(here, config, alerts),
            handlers=[console],
            report=console.report,
        )


def compared_with(here: "Here", config: Config, alerts: "Sequence[Alert]") -> "ComparedWith":
    """What the scenarios of the alerts are compared with: the accepted reference, or what ran before a step.

    A scenario with alerts of both kinds is compared with the accepted reference.
    """
    from harness.measure.runtimes.accepted_source import SourceAtCommits
    from harness.runner.confirm import ComparedWith, accepted_for, ran_in
    from harness.store.reference_file import load_reference

    wanted: dict[str, str] = {}
    for alert in sorted(alerts, key=lambda each: each.compared_with):
        wanted.setdefault(alert.subject, alert.compared_with)
    find_source = SourceAtCommits(root=config.root).find
    parts: list[ComparedWith] = []
    for run_id in sorted(set(wanted.values())):
        ours = [each for each, run in wanted.items() if run == run_id]
        if not run_id:
            parts.append(accepted_for(ours, load_reference(config.baselines)))
        elif here.store.row(run_id) is None:
            parts.append(ComparedWith(reasons=dict.fromkeys(ours, f"run {run_id} is no longer stored")))
        else:
            parts.append(ran_in(ours, here.store.outlines([run_id])[0], find_source))
    return ComparedWith.merged(parts)


def _shown(found: "Confirmed", config: Config) -> int:
    """Print every duel and why others could not be made; the exit code of the worst."""
    from harness.runner.outputs import write_outputs
    from reports.terminal.console import make_console, tell
    from reports.terminal.output import print_duel

    console, codes = make_console(), set()
    for duel in found.duels:
        written = write_outputs(duel, config)
        finished = replace(duel, code=duel.code or written.code)
        codes.add(finished.code)
        print_duel(finished, candidate="what ran", reference="what it is compared with", notes=written.notes)
    for scenario_id, reason in sorted(found.reasons.items()):
        tell(console, f"{scenario_id}: no duel could be made: {reason}", "yellow")
    codes |= {ExitCode.MEASUREMENT} if found.reasons else set()
    order = (
        *(ExitCode.INTERRUPTED, ExitCode.WORSE, ExitCode.MEASUREMENT, ExitCode.UNDECIDED),
        *(ExitCode.INTERNAL, ExitCode.USAGE),
    )
    return int(next((code for code in order if code in codes), ExitCode.OK))
