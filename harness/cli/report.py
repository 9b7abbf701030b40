"""`kokoro-bench report` and `kokoro-bench compare`: pages of stored runs."""

import click

from harness.cli.options import check_output, configured, load_run, open_results, write_output
from harness.core.errors import UsageError
from harness.core.user_paths import user_path
from harness.plan.config import Config


@click.command()
@configured("results", "baselines", "report")
@click.option(
    "--single-file",
    "run",
    metavar="RUN",
    help="write only this run's page (an id, or latest: the newest run or duel), as one file",
)
@click.option("-o", "--output", default="report.html", show_default=True, metavar="PATH", help="path of that file")
def report(config: Config, run: str | None, output: str) -> None:
    """Update the report of all stored runs, or write one run's page as a single file."""
    from harness.runner.outputs import context_of, write_report
    from reports.pages.write import write_run_page

    place = user_path(output, where=f"--output {output}")
    if run is not None:
        check_output(output, config)
    with open_results(config) as store:
        if run is None:
            click.echo(f"report: {write_report(store, config)}")
            return
        data = load_run(store, run)
        context = context_of(store, config)
    click.echo(f"report: {write_run_page(data, place, context=context)}")


@click.command()
@configured("results")
@click.option("--html", "form", flag_value="html", help="one self-contained page")
@click.option("--json", "form", flag_value="json", help="JSON: medians, intervals and ratios as numbers")
@click.option("--markdown", "form", flag_value="markdown", default=True, help="Markdown (default)")
@click.option("-o", "--output", default="-", metavar="PATH", help="file to write; - is standard output")
@click.argument("before")
@click.argument("after", required=False)
def compare(config: Config, form: str, output: str, before: str, after: str | None) -> None:
    """Compare two runs, BEFORE and AFTER (default: the latest), or the two arms of one duel.

    `compare latest` shows the arms of the newest result if it is a duel. Otherwise latest and latest~1 count no duels.

    This command gives no verdicts: they come from a baseline or a duel.
    """
    from harness.core.records.run import MEASURED, RESULTS
    from reports.views.compare import (
        compare_html,
        compare_json,
        compare_markdown,
        comparison_of_arms,
        comparison_of_runs,
    )

    check_output(output, config)
    with open_results(config) as store:
        alone = before == "latest" and not after
        first = load_run(store, before, among=RESULTS if alone else MEASURED)
        view = None if after else comparison_of_arms(first)
        if view is None:
            second = load_run(store, after or "latest", among=MEASURED)
            if not after and second.run.id == first.run.id:
                raise UsageError(
                    f"is {first.run.id}, which is no duel and the newest run, so there is nothing to compare it with",
                    where=before,
                    remedy="name two runs, as in `kokoro-bench compare latest~1 latest`, or a duel of `runs list`",
                )
            view = comparison_of_runs(first, second)
    shown = {"html": compare_html, "json": compare_json, "markdown": compare_markdown}[form](view)
    write_output(shown.encode(), output)
