"""What a finished run leaves beside the database: the report's page, and a Markdown summary where one is asked for."""

import os
from pathlib import Path

from harness.errors import BenchError
from harness.plan.config import Config
from harness.records.run import RunData


def write_outputs(data: RunData, config: Config) -> list[str]:
    """Write them, and say where they lie. One that cannot be written costs its sentence, not the run."""
    from reports.pages import write_run_page

    notes = []
    page = config.report / "runs" / f"{data.run.id}.html"
    try:
        write_run_page(data, page)
        notes.append(f"report: {page}")
    except BenchError as error:
        notes.append(f"report: not written: {error.where}: {error.what} — choose another place with --report DIRECTORY")
    summaries = [path for path in (config["summary"], os.environ.get("GITHUB_STEP_SUMMARY")) if path]
    for path in summaries:
        from reports.summary import markdown_summary

        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(markdown_summary(data))
            notes.append(f"summary: {path}")
        except OSError as error:
            notes.append(f"summary: not written: {path}: {error.strerror} — choose another file with --summary FILE")
    return notes
