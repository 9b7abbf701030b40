"""`kokoro-bench runs`: what is stored."""

from dataclasses import replace
from datetime import UTC, datetime

import click

from harness.cli.options import check_output, configured, open_results, write_output
from harness.core.errors import UsageError
from harness.core.redaction import published_record, published_selection
from harness.plan.config import Config

FORMS = ("pytest-benchmark", "csv", "jsonl")


@click.group()
def runs() -> None:
    """List, show, export or delete stored runs.

    RUN is an id, the beginning of one, "latest", or "latest~1" for the one before.
    """


@runs.command(name="list")
@configured("results")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="number of runs, newest first")
@click.option("--json", "as_json", is_flag=True, help="print a JSON list instead of a table")
def list_runs(config: Config, limit: int, as_json: bool) -> None:  # noqa: FBT001 - click's own
    """List the runs, newest first."""
    with open_results(config) as store:
        rows = [
            replace(published_record(row), selection=published_selection(row.selection))
            for row in store.list(limit=limit)
        ]
        place = store.place
    if as_json:
        import msgspec

        write_output(msgspec.json.encode(rows) + b"\n", "-")
        return
    if not rows:
        click.echo(f"no runs in {place} — kokoro-bench run makes one")
        return

    from reports.terminal.output import make_console
    from reports.terminal.plain_table import PlainTable

    table = PlainTable()
    for column in (
        "run",
        "started (UTC)",
        "status",
        "selection",
        "machine",
        "blocks",
        "invalid",
        "worse",
        "waived",
        "missed",
    ):
        table.add_column(column, overflow="fold")
    for row in rows:
        started = datetime.fromtimestamp(row.started_at, tz=UTC).strftime("%Y-%m-%d %H:%M")
        counts = (row.blocks, row.invalid, row.regressed, row.waived, row.missed)
        cells = ("–" if count is None else str(count) for count in counts)
        table.add_row(row.id, started, row.status.value, row.selection, row.machine_key, *cells)
    make_console().print(table)


@runs.command()
@configured("results")
@click.argument("run", default="latest")
def show(config: Config, run: str) -> None:
    """Show a run: results, verdicts, failures with the end of their worker's stderr."""
    from reports.terminal.output import print_run

    with open_results(config) as store:
        data = store.load(store.resolve(run))
    print_run(data)


@runs.command()
@configured("results")
@click.argument("run", default="latest")
@click.option("--format", "form", type=click.Choice(FORMS), default="jsonl", show_default=True)
@click.option("-o", "--output", default="-", metavar="PATH", help="file to write; - is standard output")
def export(config: Config, run: str, form: str, output: str) -> None:
    """Export a run: pytest-benchmark's JSON, CSV (a line per repetition), or JSON lines (everything)."""
    from harness.metrics.derive import repetition_figures
    from harness.store.exports.formats import export as export_run

    check_output(output)
    with open_results(config) as store:
        data = store.load(store.resolve(run))
    write_output(export_run(data, form, figures_of=repetition_figures), output)


@runs.command()
@configured("results")
@click.argument("run")
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
def delete(config: Config, run: str, yes: bool) -> None:  # noqa: FBT001 - click's own
    """Delete a run with all its repetitions. Baselines that hold its figures keep them."""
    from harness.store.audio import delete_audio

    with open_results(config) as store:
        run_id = store.resolve(run)
        if store.head(run_id).ended_at is None:
            raise UsageError("the run is still running", where=run_id, remedy="end it first, or wait for it")
        if not yes:
            _confirm(run_id)
        store.delete(run_id)
    delete_audio(config.audio, run_id)
    click.echo(f"deleted {run_id}")


def _confirm(run_id: str) -> None:
    try:
        agreed = click.confirm(f"Delete {run_id}?")
    except click.Abort:
        # Click reports the end of the input, as in a script, like Ctrl-C; the cause tells them apart.
        agreed = False
    if not agreed:
        raise UsageError(
            "not deleted: the confirmation was not given", where=run_id, remedy="answer with y, or give --yes"
        )
