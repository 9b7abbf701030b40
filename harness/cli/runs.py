"""`kokoro-bench runs`: what is stored."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import click

from harness.cli.options import check_output, chosen_run, configured, load_run, open_results, write_output
from harness.core.errors import UsageError
from harness.core.redaction import published_record, published_selection
from harness.core.user_paths import user_path
from harness.plan.config import Config

FORMS = ("pytest-benchmark", "csv", "jsonl", "bencher", "openmetrics", "junit")
LONGEST_LINE = 1 << 26
"""Bytes of a record of an export, at most."""
LONGEST_SELECTION = 120
"""Characters of a selection that the table shows, at most: a user's own text may have the length of a book."""


@click.group()
def runs() -> None:
    """List, show, export, import or delete stored runs.

    RUN is an id, the beginning of one, "latest" (the newest run or duel), or "latest~1" for the one before. Parts of a
    bisection, a search, a calibration or a replay are named by their ids.
    """


@runs.command(name="list")
@configured("results")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="COUNT",
    help="number of runs, newest first",
)
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

    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    table = PlainTable(
        "run", "started (UTC)", "status", "selection", "machine", "blocks", "invalid", "worse", "waived", "missed"
    )
    for row in rows:
        started = datetime.fromtimestamp(row.started_at, tz=UTC).strftime("%Y-%m-%d %H:%M")
        counts = (row.blocks, row.invalid, row.regressed, row.waived, row.missed)
        cells = ("–" if count is None else str(count) for count in counts)
        table.add_row(row.id, started, row.status.value, _brief(row.selection), row.machine_key, *cells)
    make_console().print(table)


def _brief(selection: str) -> str:
    return selection if len(selection) <= LONGEST_SELECTION else f"{selection[: LONGEST_SELECTION - 1]}…"


@runs.command()
@configured("results")
@click.argument("run", default="latest")
@click.option("--json", "as_json", is_flag=True, help="print JSON: values, verdicts and targets, without repetitions")
def show(config: Config, run: str, as_json: bool) -> None:  # noqa: FBT001 - click's own
    """Show a run: results, verdicts, failures with the end of their worker's stderr."""
    from reports.terminal.output import print_run

    with open_results(config) as store:
        data = load_run(store, run)
    if as_json:
        from reports.views.run_json import run_json

        write_output(run_json(data), "-")
        return
    print_run(data)


@runs.command()
@configured("results")
@click.argument("run", default="latest")
@click.option(
    "--format", "form", type=click.Choice(FORMS), default="jsonl", show_default=True, help="format of the export"
)
@click.option("-o", "--output", default="-", metavar="PATH", help="file to write; - is standard output")
def export(config: Config, run: str, form: str, output: str) -> None:
    """Export a run in one of these formats.

    \b
    pytest-benchmark  its JSON
    csv               a line per repetition
    jsonl             everything, as JSON lines; `runs import` reads them
    bencher           Bencher's metric format (BMF JSON): medians with intervals
    openmetrics       medians and verdicts as OpenMetrics text
    junit             a test case for each verdict and target
    """  # noqa: D301 - click's own mark for text that is not rewrapped is the character, not its spelling
    from harness.analysis.explain import explained
    from harness.metrics.per_request import repetition_figures
    from harness.metrics.registry import unit_of
    from harness.store.exports.formats import Derived
    from harness.store.exports.formats import export as export_run

    check_output(output, config)
    with open_results(config) as store:
        data = load_run(store, run)
    derived = Derived(figures_of=repetition_figures, unit_of=unit_of, sentence_of=explained)
    write_output(export_run(data, form, derived), output)


@runs.command(name="import")
@configured("results")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def import_files(config: Config, files: tuple[str, ...]) -> None:
    """Store the runs that `runs export --format jsonl` wrote, on this or another machine. - is standard input.

    Each run keeps its machine, and is compared only with runs of that machine. A run that is stored already is left as
    it is. Of several files, all are read before the first run is stored.
    """
    from harness.store.exports.formats import read_jsonl
    from harness.store.imports import check_names

    read = []
    for name in files:
        where = "standard input" if name == "-" else name
        data = read_jsonl(_lines(name), where=where)
        check_names(data, where=where)
        read.append(data)
    with open_results(config) as store:
        for data in read:
            found = store.add(data)
            outcome = "imported" if found.is_new else "already stored:"
            renamed = f" (as another run has the id {data.run.id})" if found.run_id != data.run.id else ""
            click.echo(f"{outcome} {found.run_id} of {data.run.machine.key}{renamed}")


def _lines(name: str) -> Iterator[bytes]:
    """The lines of an exported run, one at a time: what is no export may be endless."""
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else user_path(name, where=name).open("rb") as file:
            yield from iter(lambda: file.readline(LONGEST_LINE), b"")
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror or error}", where=name, remedy="name a file of `runs export`"
        ) from error


@runs.command()
@configured("results")
@click.argument("run")
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
def delete(config: Config, run: str, yes: bool) -> None:  # noqa: FBT001 - click's own
    """Delete a run with all its repetitions. Baselines that hold its figures keep them."""
    from harness.store.audio import delete_audio
    from harness.store.traces import delete_traces

    with open_results(config) as store:
        run_id = chosen_run(store, run)
        if store.head(run_id).ended_at is None:
            raise UsageError("the run is still running", where=run_id, remedy="end it first, or wait for it")
        if not yes:
            _confirm(run_id)
        store.delete(run_id)
    delete_audio(config.audio, run_id)
    delete_traces(config.traces, run_id)
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
