"""The command `kokoro-bench`: thin, and lazy, so that `--help` needs none of what a subcommand needs.

The one place that catches `BenchError`: it prints one line and ends with the error's exit code.
"""

import atexit
import gc
import sys
from importlib import import_module
from typing import Any

import click

from harness.errors import BenchError, ExitCode

COMMANDS = {
    "run": ("harness.cli.run:run", "Measure the suites, judge against the baselines, write the report."),
    "validate": ("harness.cli.validate:validate", "Hold a server or a model against its targets, in one table."),
    "load": ("harness.cli.load:load", "Put a server under load: listeners, rates, and the highest that it bears."),
    "duel": ("harness.cli.duel:duel", "Play two arms against each other, pair by pair."),
    "calibrate": ("harness.cli.calibrate:calibrate", "Find out how often the gate is wrong on this machine."),
    "recommend": ("harness.cli.recommend:recommend", "Name the best combination measured here, ready to paste."),
    "tune": ("harness.cli.tune:tune", "Search threads and session options within a budget."),
    "runs": ("harness.cli.runs:runs", "List, show, export or delete stored runs."),
    "baseline": ("harness.cli.baseline:baseline", "Promote a run to the accepted figures, or show them."),
    "compare": ("harness.cli.report:compare", "Put two stored runs side by side."),
    "schedule": ("harness.cli.schedule:schedule", "Measure by the clock: nightly runs that nobody has to watch."),
    "report": ("harness.cli.report:report", "Bring the report of all stored runs up to date."),
    "models": ("harness.cli.models:models", "List, show, build, fetch, verify or quantise models."),
    "runtimes": ("harness.cli.runtimes:runtimes", "List, build or prune environments of other packages."),
    "serve": ("harness.cli.serve:serve", "Serve speech over HTTP: the project's own server."),
    "doctor": ("harness.cli.doctor:doctor", "Say what this machine is and what may disturb a measurement."),
    "scripted-server": (
        "harness.cli.scripted_server:scripted_server",
        "Serve speech on loopback to a script, faults included.",
    ),
    "config": ("harness.cli.config:config", "Print every value of the configuration and where it came from."),
}
"""Name → where the command lives, and its line in the help."""


class LazyGroup(click.Group):
    """Knows its commands by name, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Import it."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of that name."""
        from harness.errors import nearest

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            remedy = nearest(args[0], list(COMMANDS))
            raise click.UsageError(f"unknown command {args[0]!r} — {remedy}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table's own lines: no command is imported for them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="kokoro-bench", prog_name="kokoro-bench")
def command() -> None:
    """Measure Kokoro text-to-speech on ONNX Runtime, compare, and explain.

    Exit codes: 0 nothing worse; 1 a regression or a missed target; 2 usage; 3 something could not be measured;
    4 inconclusive or no baseline, where --require asks for an answer; 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its code. No traceback for what a user can mend."""
    # Python looks for cycles among all that a process still holds when it ends: a quarter of a second after a report.
    atexit.register(gc.freeze)
    try:
        code: Any = command.main(args=arguments, prog_name="kokoro-bench", standalone_mode=False)
    except BenchError as error:
        click.echo(f"kokoro-bench: {error}", err=True)
        code = error.exit_code
    except click.exceptions.Abort:
        click.echo("kokoro-bench: interrupted", err=True)
        code = ExitCode.INTERRUPTED
    except KeyboardInterrupt:
        click.echo("kokoro-bench: interrupted", err=True)
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more while it flushes.
        sys.stderr.close()
        code = ExitCode.OK
    sys.exit(int(code) if isinstance(code, int) else ExitCode.OK)
