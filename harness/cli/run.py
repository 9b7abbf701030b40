"""`kokoro-bench run`: pytest on the suites, with our table in place of pytest's."""

import os
import sys
from pathlib import Path

import click

from harness.cli.options import MEASURING, configured
from harness.plan.config import Config


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": True})
@configured(*MEASURING)
@click.option("--full", "selection", flag_value="full", help="all text lengths, providers, quantised models, options")
@click.option("--nightly", "selection", flag_value="nightly", help="everything, the longest texts too")
@click.option(
    "--quick", "selection", flag_value="quick", default=True, help="one provider, two models, three lengths (default)"
)
@click.option("-k", "expression", metavar="EXPRESSION", help="only tests whose name matches, as in pytest")
@click.option("--json", "json_path", metavar="FILE", help="also write the run as pytest-benchmark's JSON")
@click.option("--pytest-output", is_flag=True, help="show pytest's own report of failures too")
@click.argument("pytest_arguments", nargs=-1)
def run(
    config: Config,
    selection: str,
    expression: str | None,
    json_path: str | None,
    pytest_output: bool,  # noqa: FBT001 - click's own
    pytest_arguments: tuple[str, ...],
) -> int:
    """Measure the suites, judge the figures against the baselines, and write the report.

    What follows -- goes to pytest.
    """
    import pytest

    from harness import laboratory

    laboratory.check(config, selection)
    arguments = [str(find_suites(config)), "-p", "harness.plugin", "-p", "no:cacheprovider", "--no-header"]
    # Where the suites lie says nothing of where the user is: pytest must neither look for its settings there nor put
    # the results there.
    settings = config.root / "pyproject.toml"
    arguments += ["--rootdir", str(config.root), "-c", str(settings if settings.is_file() else os.devnull)]
    # Where pytest-benchmark would otherwise make a directory beside the user's own.
    arguments.append(f"--benchmark-storage=file://{config.root / '.kokoro-bench' / 'pytest-benchmark'}")
    # A list is asked for to be read, and pytest's quietest one only counts.
    listed = {"--collect-only", "--co"} & {*pytest_arguments}
    arguments += ["-q"] if pytest_output or listed else ["-qq", "--tb=no", "-rN", "--benchmark-quiet", "--table-only"]
    arguments += [f"--selection={selection}"]
    arguments += [f"--{name}={value}" for name, value in config.given.items()]
    if expression:
        arguments += ["-k", expression]
    if json_path:
        arguments.append(f"--benchmark-json={json_path}")
    sys.stdout.flush()
    return int(pytest.main([*arguments, *pytest_arguments]))


def find_suites(config: Config) -> Path:
    """The suites beside pyproject.toml, else the ones that were installed."""
    beside = config.root / "suites"
    if beside.is_dir():
        return beside
    import suites

    return Path(suites.__path__[0])
