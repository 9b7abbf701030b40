"""`kokoro-bench report`: pages of stored runs."""

import click

from harness.cli.options import configured, open_results
from harness.plan.config import Config


@click.command()
@configured("results", "report")
@click.argument("run", default="latest")
@click.option("--single-file", "output", metavar="FILE", help="only RUN's page, to this file")
def report(config: Config, run: str, output: str | None) -> None:
    """Write the report of RUN (default: the latest run)."""
    from pathlib import Path

    from reports.pages import write_run_page

    with open_results(config) as store:
        data = store.load(store.resolve(run))
    page = Path(output) if output else config.report / "runs" / f"{data.run.id}.html"
    click.echo(f"report: {write_run_page(data, page)}")
