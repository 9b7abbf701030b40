"""`kokoro-bench run`: run the suites with pytest and print the harness's table instead of pytest's."""

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command, option
from harness.cli.options import MEASURING, configured, obtain
from harness.core.errors import ExitCode, UsageError
from harness.core.output_files import check_file, write_whole
from harness.core.user_paths import user_path
from harness.plan.config import Config
from harness.plan.keys import Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.runner.outputs import Written


@command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": True})
@configured(*MEASURING)
@click.option(
    "--quick", "selection", flag_value="quick", default=True, help="one provider, two models, three lengths (default)"
)
@click.option("--full", "selection", flag_value="full", help="all text lengths, providers, quantised models, options")
@click.option("--nightly", "selection", flag_value="nightly", help="everything, with the longest texts")
@click.option("-k", "expression", metavar="EXPRESSION", help="run only the tests whose names match, as in pytest")
@option(
    "--json",
    "json_path",
    group=Group.PLACES,
    metavar="PATH",
    help="also write the run in pytest-benchmark's JSON format",
)
@click.option("--pytest-output", is_flag=True, help="also show pytest's own report of failures")
@click.argument("pytest_arguments", nargs=-1)
def run(
    config: Config,
    selection: str,
    expression: str | None,
    json_path: str | None,
    pytest_output: bool,  # noqa: FBT001 - click's own
    pytest_arguments: tuple[str, ...],
) -> int:
    """Run the benchmark suites, compare the results with the baselines, and write the report.

    Arguments after -- are passed to pytest.
    """
    from harness.cli.suite_session import SuiteSession, own_settings
    from harness.core.crash_report import crash_line
    from harness.runner import run as runner
    from harness.runner.outputs import Written, check_outputs
    from reports.terminal.output import print_outcome

    runner.check(config, selection)
    own = {"--json": user_path(json_path, where="--json")} if json_path else {}
    check_outputs(config, {**own, **_files_of_pytest(pytest_arguments, as_json=bool(json_path))})
    for option_name, path in own.items():
        check_file(path, where=option_name)
    suites = find_suites(config)
    arguments = [str(suites), *own_settings(root=config.root, suites=suites), f"--selection={selection}"]
    # A list is asked for to be read, and pytest's quietest one only counts.
    listed = bool({"--collect-only", "--co"} & {*pytest_arguments})
    if not listed:
        obtain(config)
    listing, silent = ["-q", "--tb=no", "--disable-warnings"], ["--table-only", "--benchmark-quiet"]
    arguments += listing if listed else ["-q"] if pytest_output else silent
    given = ((name, [value] if isinstance(value, str) else value) for name, value in config.given.items())
    arguments += [f"--{name}={each}" for name, values in given for each in values]
    arguments += ["-k", expression] if expression else []
    session = SuiteSession(quiet=not (listed or pytest_output))
    with TemporaryDirectory(prefix="kokoro-bench-") as directory:
        made = Path(directory) / "benchmark.json"
        arguments += [f"--benchmark-json={made}"] if json_path else []
        status = session.play([*arguments, *pytest_arguments])
        delivered = deliver(made, json_path) if json_path else Written()
    code = session.code(status) or delivered.code
    bench = session.bench
    if bench is not None and not listed:
        for line in bench.failures.lines:
            click.secho(f"test failed: {line}", fg="red")
        if bench.finished is not None:
            print_profiles(config, bench.finished.data.run.id)
            print_outcome(replace(bench.finished, code=code), notes=[*bench.notes, *delivered.notes])
    if session.error is not None:
        click.echo(f"kokoro-bench: {crash_line(session.error)}", err=True)
    return int(code)


def _files_of_pytest(arguments: "Sequence[str]", *, as_json: bool) -> "Mapping[str, Path]":
    """The files that pytest is to write. UsageError for its JSON beside ours, which is made of the same file."""
    from harness.runner.pytest_files import BENCHMARK_JSON, files_of_arguments

    found = files_of_arguments(arguments)
    if as_json and BENCHMARK_JSON in found:
        raise UsageError(
            f"--json and {BENCHMARK_JSON} write the same content", where=BENCHMARK_JSON, remedy="give one of them"
        )
    return found


def print_profiles(config: Config, run_id: str) -> None:
    """Print the operators of each arm that the run has profiled."""
    from harness.store.traces import read_sheet
    from reports.terminal.console import make_console, tell
    from reports.terminal.profile_table import profile_tables

    sheet = read_sheet(config.traces, run_id) if config["profile"] == "on" else None
    console = make_console()
    for title, table in profile_tables(sheet) if sheet else ():
        tell(console, title)
        console.print(table)


def deliver(made: Path, json_path: str) -> "Written":
    """Write pytest-benchmark's JSON atomically."""
    from harness.runner.outputs import Written

    if not made.is_file():
        note = f"json: not written: {json_path}: no measured value fits the format"
        return Written(notes=(note,), code=ExitCode.USAGE)
    try:
        write_whole(user_path(json_path, where="json"), made.read_bytes(), where="json")
    except UsageError as error:
        return Written(notes=(f"json: not written: {error.what}",), code=ExitCode.USAGE)
    return Written(notes=(f"json: {json_path}",))


MARKED = re.compile(rb"from harness\.(runner\.pytest_marker|plugin) import .*scenarios")
"""How a suite imports its marker; `harness.plugin` is the former path."""


def find_suites(config: Config) -> Path:
    """The suites beside pyproject.toml, else the ones that were installed.

    A folder of that name may hold tests of another kind: a suite of ours imports `scenarios` from the harness.
    """
    beside = config.root / "suites"
    if any(MARKED.search(file.read_bytes()) for file in beside.glob("**/test_*.py")):
        return beside
    found = find_spec("suites")
    if found is None or not found.submodule_search_locations:
        raise UsageError("the suites are not installed", where="suites", remedy="install kokoro-bench again")
    return Path(found.submodule_search_locations[0])
