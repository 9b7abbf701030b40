"""The schedule on a terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from harness.analysis.alert_words import ending_of, with_confirmation
from harness.core.records.schedule import Fire, FireOutcome, SchedulerInstance
from harness.schedule.job import duration
from harness.schedule.status import JobLine, Overview, at_work
from harness.schedule.triggers import moment
from reports.terminal.console import make_console

SIGNS = {
    FireOutcome.OK: ("✓ ok", "green"),
    FireOutcome.WORSE: ("▲ worse", "bold red"),
    FireOutcome.UNDECIDED: ("? undecided", "yellow"),
    FireOutcome.PARTIAL: ("◐ partial", "yellow"),
    FireOutcome.FAILED: ("✗ failed", "bold red"),
    FireOutcome.INTERRUPTED: ("✗ interrupted", "red"),
    FireOutcome.SKIPPED: ("– skipped", "yellow"),
    FireOutcome.IMPOSSIBLE: ("– not possible", "yellow"),
}


def print_overview(found: Overview, others: Sequence[SchedulerInstance]) -> None:
    """Print `schedule status`."""
    console = make_console()
    for line in _now(found):
        console.print(Text(line), soft_wrap=True)
    table = Table()
    for column in ("job", "when", "next", "last", "took", "typical", "measured", "failed", "streak"):
        table.add_column(column, overflow="fold")
    for job in found.jobs:
        table.add_row(*_job(job))
    if found.jobs:
        console.print(table)
    for job in found.jobs:
        if job.last_failure:
            console.print(Text(f"{job.name}: {job.last_failure}", style="yellow"), soft_wrap=True)
    for alert in found.open_alerts:
        trouble = f" (not every alert target was reached:{alert.trouble})" if alert.trouble else ""
        text = f"alert {alert.key}, open since {moment(alert.opened_at)}: {with_confirmation(alert)}{trouble}"
        console.print(Text(text, style="red"), soft_wrap=True)
    for alert in found.ended_alerts:
        text = f"alert {alert.key}, {ending_of(alert)} {moment(alert.closed_at)}: {with_confirmation(alert)}"
        console.print(Text(text, style="dim"), soft_wrap=True)
    for each in others:
        text = f"also in this store: {each.runner}, process {each.pid} on {each.host}, seen {moment(each.seen_at)}"
        console.print(Text(text, style="dim"), soft_wrap=True)


def print_history(fires: Sequence[Fire], *, with_runner: bool) -> None:
    """Print `schedule history`."""
    console = make_console()
    if not fires:
        console.print("nothing was due yet — start the scheduler with kokoro-bench schedule run")
        return
    table = Table()
    columns = ("due", "job", "outcome", "took", "missed", "run", "reason")
    for column in ("runner", *columns) if with_runner else columns:
        table.add_column(column, overflow="fold")
    for fire in fires:
        took = "–" if fire.duration_s is None else duration(round(fire.duration_s))
        cells = (moment(fire.due_at) + (" by hand" if fire.asked else ""), fire.job, _outcome(fire), took,
                 str(fire.missed), fire.run_id or "–", fire.reason)  # fmt: skip
        table.add_row(*((fire.runner, *cells) if with_runner else cells))
    console.print(table)


def _now(found: Overview) -> list[str]:
    scheduler = found.scheduler
    lines = []
    if scheduler is not None and at_work(found):
        lines.append(f"process {scheduler.pid} on {scheduler.host} runs the schedule since {moment(scheduler.since)}")
    else:
        lines.append("no scheduler is running — kokoro-bench schedule run")
    if found.running is not None:
        lines.append(f"{found.running.job} runs since {moment(found.running.started_at)} (process {found.running.pid})")
        if found.watched is not None:
            seen = found.watched
            left = "time left unknown" if seen.remaining_s is None else f"{duration(round(seen.remaining_s))} left"
            lines.append(f"  {seen.share:.0%}, launch {seen.launches}, {seen.blocks} blocks, {left}: {seen.doing}")
            lines.append(f"  log: {found.running.log}")
    elif scheduler is not None and "busy" in scheduler.doing:
        lines.append(scheduler.doing)
    lines += [f"queued: {fire.job}, due {moment(fire.due_at)}" for fire in found.queue]
    return lines


def _job(job: JobLine) -> tuple[str | Text, ...]:
    last = job.last
    streak = f"{job.streak} in a row" if job.streak >= 0 else f"{-job.streak} failed in a row"
    return (
        job.name,
        job.when,
        "paused" if job.paused else moment(job.next_at),
        _outcome(last) if last else "never",
        duration(round(last.duration_s)) if last and last.duration_s is not None else "–",
        duration(round(job.typical_s)) if job.typical_s is not None else "–",
        str(job.succeeded),
        str(job.failed),
        streak,
    )


def _outcome(fire: Fire) -> Text:
    if fire.outcome is None:
        return Text(fire.state.value)
    sign, style = SIGNS[fire.outcome]
    return Text(sign, style=style)
