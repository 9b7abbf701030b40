"""`kokoro-bench doctor`: what this machine is, what may disturb a measurement, and what to do about it."""

from importlib import import_module
from pathlib import Path

import click

from harness.cli.options import configured
from harness.plan.config import Config

SIGNS = {
    "ok": ("✓", "green"),
    "warn": ("!", "yellow"),
    "bad": ("✗", "bold red"),
    "absent": ("–", "dim"),
    "unknown": ("?", "dim"),
}

TERMINAL = ("reports.terminal.console", "reports.terminal.plain_table")
"""What prints the findings."""


@click.command()
@configured("results")
@click.option("--json", "as_json", is_flag=True, help="print the findings as JSON")
def doctor(config: Config, as_json: bool) -> int:  # noqa: FBT001 - click's own
    """Describe this machine and what may disturb a measurement on it."""
    from harness.core.cache_root import default_root
    from harness.measure.doctor import examine, exit_code
    from harness.measure.doctor.checkup import check

    results = Path(config.results) if "://" not in config.results else config.root
    findings = examine(check(results=results, cache=default_root(), meanwhile=_import_the_rest))
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(findings).decode())
        return int(exit_code(findings))
    from rich.text import Text

    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    table = PlainTable("", "topic", "finding", "what to do")
    for finding in findings:
        sign, style = SIGNS[finding.status.value]
        table.add_row(Text(sign, style=style), finding.topic, Text(finding.what), Text(finding.remedy))
    make_console().print(table)
    return int(exit_code(findings))


def _import_the_rest() -> None:
    """Import what comes after the checks, while they wait for a child process."""
    for name in ("harness.measure.doctor.machine_rules", "harness.measure.doctor.software_rules", *TERMINAL):
        import_module(name)
