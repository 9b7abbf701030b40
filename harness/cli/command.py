"""What the command `kokoro-bench` does: thin, and lazy, so that `--help` needs none of what a subcommand needs.

The one place that catches errors: it prints one line and ends with the exit code. An error that nobody foresaw leaves a
file with its traceback.
"""

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from harness.cli.early_signals import answer_late_signals, end_at_once
from harness.cli.exit_codes import called, document, exit_codes
from harness.cli.streams import Losses, steady_streams
from harness.core.errors import BenchError, ExitCode, StoreError

COMMANDS = {
    "run": ("harness.cli.run:run", "Run the benchmark suites, compare with the baselines, and write the report."),
    "validate": ("harness.cli.validate:validate", "Check a server or a model against its targets."),
    "load": ("harness.cli.load:load", "Load-test a server and find the highest load it sustains."),
    "duel": ("harness.cli.duel:duel", "Compare two arms side by side, pair by pair."),
    "bisect": ("harness.cli.bisect:bisect", "Find which version or commit between good and bad changed a metric."),
    "calibrate": ("harness.cli.calibrate:calibrate", "Measure how often the gate is wrong on this machine."),
    "recommend": ("harness.cli.recommend:recommend", "Name the best configuration measured on this machine."),
    "tune": ("harness.cli.tune:tune", "Search threads and session options within a budget."),
    "optimise": (
        "harness.cli.optimise:optimise",
        "Search models, threads and options for the best, and prove it.",
    ),
    "runs": ("harness.cli.runs:runs", "List, show, export, import or delete stored runs."),
    "baseline": ("harness.cli.baseline:baseline", "Promote a run to the baseline, or show the baselines."),
    "compare": ("harness.cli.report:compare", "Compare two stored runs."),
    "schedule": ("harness.cli.schedule:schedule", "Run the benchmarks on a schedule."),
    "ci": ("harness.cli.ci:ci", "Write workflows for GitHub and GitLab that gate pull requests and measure nightly."),
    "report": ("harness.cli.report:report", "Update the HTML report of all stored runs."),
    "models": ("harness.cli.models:models", "List, show, build, fetch, verify, quantise, optimise or prune models."),
    "runtimes": ("harness.cli.runtimes:runtimes", "List, build or prune package environments."),
    "serve": ("harness.cli.serve:serve", "Serve Kokoro speech over HTTP: the reference server."),
    "doctor": ("harness.cli.doctor:doctor", "Check this machine and what may disturb a measurement."),
    "mock-server": (
        "harness.cli.mock_server:mock_server",
        "Serve scripted answers on loopback, faults included.",
    ),
    "config": ("harness.cli.config:config", "Print every configuration value and its source."),
}
"""Name → where the command lives, and its line in the help."""

BRIEF = ("runs", "baseline", "compare", "models", "runtimes", "doctor", "config")
"""Commands that read what is there, print it and end."""

COLLECTED_AT = 500_000
"""New objects after which a brief command looks for garbage. Nearly all of its objects are classes and functions that
it imports and keeps: looking at them once in 700, Python's default, took 10 % of `runs list`. Commands that serve or
measure keep the default, because each look at so many interrupts them for milliseconds."""

FORMER = {"scripted-server": "mock-server"}
"""Former name of a command → its name. A former name works, is in no help, and says once what it has become."""


class LazyGroup(click.Group):
    """Knows its commands by name, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Import it, and add its exit codes to its help."""
        if cmd_name in FORMER:
            _say(f"{cmd_name} is now called {FORMER[cmd_name]}")
            cmd_name = FORMER[cmd_name]
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return document(found, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of that name."""
        from harness.core.errors import nearest

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            remedy = nearest(args[0], list(COMMANDS))
            raise click.UsageError(f"unknown command {args[0]!r} — {remedy}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Return the rows of the table: no command is imported for them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="kokoro-bench", prog_name="kokoro-bench")
def command() -> None:
    """Measure Kokoro text-to-speech on ONNX Runtime, compare, and explain.

    Exit codes: 0 nothing worse; 1 a regression or a missed target; 2 usage; 3 something could not be measured;
    4 inconclusive or no baseline, where --require asks for an answer; 70 internal error, with its traceback in a file;
    130 interrupted. The help of each command has its own.
    """


COMPLETION = "_KOKORO_BENCH_COMPLETE"
"""Set by the shell that asks for completions."""


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and exit with its code. No exception leaves it as a traceback.

    Without `arguments`, it runs those of this process, which ends with it.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] and given[0] in BRIEF:
        gc.set_threshold(COLLECTED_AT)
    # At exit Python collects garbage in everything that the process still holds: 0.25 s after a report.
    atexit.register(gc.freeze)
    with steady_streams() as losses:
        try:
            with _terminable(ends_process=arguments is None), _temporary_folder(given):
                code = _answer(given)
        except KeyboardInterrupt:  # once more, while the first was being answered
            code = ExitCode.INTERRUPTED
            if arguments is None:
                answer_late_signals()
        code = _finished(code, losses)
    sys.exit(int(code))


def _temporary_folder(arguments: Sequence[str]) -> AbstractContextManager[None]:
    """A temporary folder of its own for a command that may start processes."""
    if not arguments or arguments[0] not in COMMANDS or arguments[0] in BRIEF:
        return nullcontext()
    from harness.core.scratch import own_temporary_folder

    return own_temporary_folder()


def _answer(arguments: Sequence[str]) -> ExitCode:
    """Run the command; every way in which it can end has its exit code."""
    try:
        return _invoke(arguments)
    except BenchError as error:
        _say(str(error))
        return error.exit_code
    except click.exceptions.Exit as ended:  # --help, --version
        return ExitCode.USAGE if ended.exit_code else ExitCode.OK
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - also a SystemExit of a library: its code is not ours
        from harness.core.crash_report import crash_line

        _say(crash_line(error, arguments))
        return ExitCode.INTERNAL


def _invoke(arguments: Sequence[str]) -> ExitCode:
    """Click's own `main` would end with 1 after a broken pipe, and report every EOFError as an interruption."""
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        failed = shell_complete(command, {}, "kokoro-bench", COMPLETION, instruction)
        return ExitCode.USAGE if failed else ExitCode.OK
    with command.make_context("kokoro-bench", list(arguments)) as context:
        try:
            code = command.invoke(context)
        except BenchError as error:
            path = called(context)
            if isinstance(error, StoreError) and path and error.exit_code not in exit_codes(path):
                # Only where something is measured it matters whether the database may come back.
                error.exit_code = ExitCode.USAGE
            return _documented(path, error.exit_code, cause=error)
        return _documented(called(context), code)


def _documented(path: str, code: object, cause: BenchError | None = None) -> ExitCode:
    """The exit code that a command gave, if its help names it; raises `cause` where it says why.

    Raises RuntimeError for any other: it would be read as something that it does not mean.
    """
    found = ExitCode.OK if code is None else code
    if path and found not in exit_codes(path):
        raise RuntimeError(f"{path} ended with {code!r}, which is not among its exit codes") from cause
    if cause is not None:
        raise cause
    return ExitCode(found)  # type: ignore[arg-type]  # one of those that are documented


def _finished(code: ExitCode, losses: Losses) -> ExitCode:
    """The code, and 2 instead of 0 where a part of what the command printed is lost."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for stream_name, reason in losses.found.items():
        where = f"{stream_name}: cannot be written: {reason}"
        _say(f"{where} — the rest of the output is lost; what was measured is stored")
    return ExitCode.USAGE if losses.found and code is ExitCode.OK else code


def _say(line: str) -> None:
    click.echo(f"kokoro-bench: {line}", err=True)


@contextmanager
def _terminable(*, ends_process: bool) -> Iterator[None]:
    """SIGTERM is Ctrl-C, for whatever has no answer of its own to it: what is under way is put in order.

    With `ends_process` both end the process afterwards, in which nothing is left to be done.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) in (
        signal.SIG_DFL,
        end_at_once,
    )
    if ours:
        signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ends_process:
            answer_late_signals()
        elif ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
