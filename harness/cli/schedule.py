"""`kokoro-bench schedule`: scheduled runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import configured
from harness.cli.schedule_alerts import alert, confirm
from harness.cli.schedule_explain import explain
from harness.cli.schedule_file import FILE, declared_schedule
from harness.core.errors import UsageError
from harness.plan.config import Config

if TYPE_CHECKING:
    from harness.core.records.schedule import Fire

STORED = ("results", "baselines", "report")


@click.group()
def schedule() -> None:
    """Run the benchmarks on a schedule, for example every night.

    Declare jobs in [tool.kokoro-bench.schedule.NAME] of pyproject.toml, in a --config file, or with `add`.
    """


schedule.add_command(alert)
schedule.add_command(confirm)
schedule.add_command(explain)


@schedule.command()
@configured(*STORED)
@FILE
@click.option("--once", is_flag=True, help="run what is due, then exit: for a system timer")
@click.option("--http", metavar="[HOST:]PORT", help="also serve the dashboard (default HOST: loopback)")
def run(config: Config, file: Path | None, once: bool, http: str | None) -> int:  # noqa: FBT001 - click's own
    """Run the scheduler in the foreground, for systemd, launchd, a container or a terminal."""
    from harness.schedule.service import keep_schedule, opened

    declared = declared_schedule(config, file)
    serve = _server(config, http) if http else None
    with opened(config, declared.settings) as here:
        return int(keep_schedule(here, declared, say=_say, once=once, serve=serve))


def _server(config: Config, http: str) -> Any:  # noqa: ANN401 - what keep_schedule takes
    from harness.schedule.dashboard import Dashboard, Source, parse_address

    address = parse_address(http)

    def serve(read: Any, silent_s: Any, results: Any) -> None:  # noqa: ANN401 - likewise
        board = Dashboard(Source(read, silent_s, results), site=config.report, address=address)
        _say(f"dashboard: http://{address.host}:{board.port}/live")
        if not address.loopback:
            _say(f"anyone who can connect to {address.host} can read it: there is no password")

    return serve


def _say(text: str) -> None:
    from contextlib import suppress

    from harness.schedule.service import spoken

    with suppress(OSError):  # a full disk below the scheduler's log is no reason to end
        click.echo(spoken(text))


@schedule.command()
@configured("results")
@FILE
@click.option("--cron", default="", metavar="FIELDS", help="five fields: minute hour day month weekday")
@click.option("--every", default="", metavar="DURATION", help="30m, 6h, 1d; counted from midnight UTC")
@click.option("--timezone", default="UTC", show_default=True, metavar="ZONE", help="of --cron, such as Europe/Berlin")
@click.option("--selection", default="nightly", show_default=True, metavar="quick|full|nightly", help="tests to run")
@click.option("-k", "expression", default="", metavar="EXPRESSION", help="run only the tests whose names match")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="an option of `run`; may be repeated")
@click.option("--budget", default="", metavar="DURATION", help="measuring time of a run: 30m")
@click.option(
    "--limit", default="", metavar="DURATION", help="time limit of a run; its finished blocks are kept as a partial run"
)
@click.option(
    "--promote",
    default="never",
    show_default=True,
    metavar="never|clean",
    help="clean: promote runs without regressions",
)
@click.option(
    "--confirm", default="", metavar="DURATION", help="budget of the duel that confirms a finding (15m), or never"
)
@click.option("--explain", default="", metavar="never|bisect", help="bisect confirmed regressions when nothing is due")
@click.argument("name")
def add(config: Config, file: Path | None, name: str, options: tuple[str, ...], **given: str) -> None:
    """Add or replace the job NAME. Without a time, add the declared job of that name."""
    import time

    from harness.schedule.job_store import JobStore
    from harness.schedule.jobs import parse_job
    from harness.schedule.service import check_job_options, opened
    from harness.schedule.triggers import moment

    declared = declared_schedule(config, file)
    if given["cron"] or given["every"]:
        table: dict[str, Any] = {key: value for key, value in given.items() if value and key != "expression"}
        table |= {"k": given["expression"]} if given["expression"] else {}
        table["options"] = _pairs(options)
        job, origin = parse_job(name, table, where=f"schedule add {name}", base=Path.cwd()), "command"
    else:
        found = next((job for job in declared.jobs if job.name == name), None)
        if found is None:
            raise UsageError("no job of this name is declared", where=name, remedy="give --cron or --every")
        job, origin = found, "file"
    check_job_options(job, config)
    with opened(config, declared.settings) as here, JobStore(here.journal, here.runner) as job_store:
        booked = job_store.put(job, now=time.time(), origin=origin)
    click.echo(f"{name}: {job.when}, next {moment(booked.next_at)}")


@schedule.command(name="list")
@configured("results")
@FILE
def list_jobs(config: Config, file: Path | None) -> None:
    """List the jobs."""
    from harness.schedule.job_store import JobStore
    from harness.schedule.service import opened
    from harness.schedule.triggers import moment
    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    declared = declared_schedule(config, file)
    with opened(config, declared.settings) as here, JobStore(here.journal, here.runner) as job_store:
        booked = {each.job.name: each for each in job_store.all()}
    table = PlainTable("job", "when", "selection", "next", "promote", "from")
    in_file = {job.name: job for job in declared.jobs}
    for name, each in booked.items():
        # What the file has changed since holds from the next start on.
        job, is_new = in_file.get(name, each.job), name in in_file and in_file[name] != each.job
        shown = "paused" if each.paused else "when the schedule starts anew" if is_new else moment(each.next_at)
        table.add_row(name, job.when, job.selection, shown, job.promote, "file" if name in in_file else each.origin)
    for job in declared.jobs:
        if job.name not in booked:
            table.add_row(job.name, job.when, job.selection, "when the schedule runs", job.promote, "file")
    make_console().print(table)


@schedule.command()
@configured("results")
@FILE
@click.argument("name")
def remove(config: Config, file: Path | None, name: str) -> None:
    """Remove a job. Its results stay."""
    with _job_store(config, file, name) as job_store:
        declared = job_store.get(name).origin == "file"
        job_store.remove(name)
    click.echo(
        f"removed {name}"
        + ("; it is declared in the configuration, so the next start adds it again" if declared else "")
    )


@schedule.command()
@configured("results")
@FILE
@click.argument("name")
def pause(config: Config, file: Path | None, name: str) -> None:
    """Pause a job."""
    with _job_store(config, file, name) as job_store:
        job_store.pause(name)
    click.echo(f"{name} is paused until `kokoro-bench schedule resume {name}`")


@schedule.command()
@configured("results")
@FILE
@click.argument("name")
def resume(config: Config, file: Path | None, name: str) -> None:
    """Resume a paused job. Runs missed during the pause are not made up for."""
    import time

    from harness.schedule.triggers import moment

    with _job_store(config, file, name) as job_store:
        booked = job_store.resume(name, now=time.time())
    click.echo(f"{name}: next {moment(booked.next_at)}")


@schedule.command(name="run-now")
@configured(*STORED)
@FILE
@click.argument("name")
def run_now(config: Config, file: Path | None, name: str) -> int:
    """Run a job now, in the running scheduler if there is one."""
    import time

    from harness.schedule.job_store import JobStore
    from harness.schedule.service import keep_schedule, opened, scheduler_at_work

    declared = declared_schedule(config, file)
    with opened(config, declared.settings) as here:
        now = time.time()
        with JobStore(here.journal, here.runner) as job_store:
            job_store.adopt(name, declared.jobs, now=now)
        here.journal.enqueue(
            runner=here.runner, job=name, due_at=now, asked=True, missed=0, now=now, machine_key=here.machine_key
        )
        recorder = scheduler_at_work(here, now=now)
        if recorder is not None:
            click.echo(f"{name} is queued for the running scheduler (process {recorder.pid} on {recorder.host})")
            return 0
        click.echo(f"no scheduler is running; {name} runs in this process")
        return int(keep_schedule(here, declared, say=_say, once=True))


@schedule.command()
@configured("results")
@FILE
@click.option("--json", "as_json", is_flag=True, help="print everything as JSON")
def status(config: Config, file: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click's own
    """Show the current run, the next runs, the last results of each job, and the open alerts."""
    import time
    from dataclasses import replace

    from harness.schedule.job_store import JobStore
    from harness.schedule.service import opened, scheduler_at_work
    from harness.schedule.status import overview
    from harness.schedule.tables import print_overview

    declared = declared_schedule(config, file)
    with opened(config, declared.settings) as here, JobStore(here.journal, here.runner) as job_store:
        found = overview(here.store, here.journal, job_store.all(), runner=here.runner, now=time.time())
        # The store also has one that was killed, until the next start.
        found = replace(found, keeper=scheduler_at_work(here, now=found.now))  # codespell:ignore keeper
        others = [recorder for recorder in here.journal.schedulers() if recorder.runner != here.runner]
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found).decode())
        return
    print_overview(found, others)


@schedule.command()
@configured("results")
@FILE
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="COUNT",
    help="number of lines, newest first",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON list instead of a table")
@click.option("--all-machines", is_flag=True, help="all runners that share the store")
@click.argument("name", required=False)
def history(
    config: Config,
    file: Path | None,
    limit: int,
    as_json: bool,  # noqa: FBT001 - click's own
    all_machines: bool,  # noqa: FBT001 - click's own
    name: str | None,
) -> None:
    """List past due times and their outcomes; NAME: of one job."""
    from harness.schedule.job_store import JobStore
    from harness.schedule.service import opened
    from harness.schedule.tables import print_history

    declared = declared_schedule(config, file)
    with opened(config, declared.settings) as here:
        runner = None if all_machines else here.runner
        fires: tuple[Fire, ...] = here.journal.fires(runner=runner, job=name, limit=limit)
        if name and not fires and not all_machines:
            with JobStore(here.journal, here.runner) as job_store:
                job_store.check(name.partition("/")[0], declared.jobs)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(fires).decode())
        return
    print_history(fires, with_runner=all_machines)


def _job_store(config: Config, file: Path | None, name: str) -> Any:  # noqa: ANN401 - a context manager of a JobStore
    """The store with the job of this name in it, as the file has it. UsageError if there is none."""
    import time
    from contextlib import contextmanager

    from harness.schedule.job_store import JobStore
    from harness.schedule.service import opened

    declared = declared_schedule(config, file)

    @contextmanager
    def job_store() -> Any:  # noqa: ANN401 - an iterator of one JobStore
        with opened(config, declared.settings) as here, JobStore(here.journal, here.runner) as found:
            found.adopt(name, declared.jobs, now=time.time())
            yield found

    return job_store()


def _pairs(options: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise UsageError("must be NAME=VALUE", where=f"--option {option}", remedy="--option model=replica")
        if name in found:
            raise UsageError(f"{name} is set twice", where=f"--option {option}", remedy="once; a list takes commas")
        found[name] = value
    return found
