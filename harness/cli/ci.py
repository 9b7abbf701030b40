"""`kokoro-bench ci`: workflows for GitHub and GitLab, and the gate that they call."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from harness.ci.workflows import (
    CRON,
    GITHUB,
    GITLAB,
    GITLAB_INCLUDE,
    GITLAB_MAIN,
    INSTALL,
    NIGHTLY,
    Choices,
    workflow_files,
    write_files,
)
from harness.cli.options import UserPath
from harness.core.errors import UsageError
from harness.core.output_files import write_whole

OPTIONS = (
    click.option(
        "--install", default=INSTALL, show_default=True, metavar="COMMAND",
        help="how a job installs kokoro-bench, and your engine",
    ),
    click.option(
        "--arm", default="", metavar="CHANGES",
        help="what both sides of the duel share beside their revisions, for example server=bells",
    ),
    click.option(
        "--duel-options", default="", metavar="OPTIONS",
        help="options of the duel of a pull request, for example '--engine bells --text chars-60'",
    ),
    click.option(
        "--nightly-options", default=NIGHTLY, show_default=True, metavar="OPTIONS",
        help="options of the nightly run; by default it measures the server of --arm",
    ),
    click.option("--budget", default="4m", show_default=True, metavar="DURATION", help="measuring time of the duel"),
    click.option("--python", default="3.13", show_default=True, metavar="VERSION", help="version of Python"),
    click.option("--pages/--no-pages", default=True, show_default=True, help="publish the nightly report"),
    click.option("--strict", is_flag=True, help="also fail a pull request that could not be measured"),
)  # fmt: skip


@click.group()
def ci() -> None:
    """Write workflows that compare each pull request with its base and measure every night."""


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@ci.command()
@_with_options
@click.option("--cron", default=CRON, show_default=True, metavar="FIELDS", help="time of the nightly run, in UTC")
@click.option(
    "--history", type=click.Choice(["branch", "cache"]), default="branch", show_default=True,
    help="where the nightly results are kept: on an orphan branch, or in the cache",
)  # fmt: skip
def github(**given: Any) -> None:  # noqa: ANN401 - click's own
    """Write three workflows for GitHub Actions: pull request, its comment, and nightly run.

    The check of a pull request is red only if the candidate is shown to be worse. Run it in the root of the repository.
    Files that it wrote before are written again; others are never replaced.
    """
    _write(GITHUB, _choices("github", given))
    click.echo('next: commit them, and require the check "kokoro-bench" (Settings, Rules)')
    if given["pages"]:
        click.echo("to publish the report: Settings, Pages, Source: GitHub Actions")


@ci.command()
@_with_options
def gitlab(**given: Any) -> None:  # noqa: ANN401 - click's own
    """Write jobs for GitLab CI: merge request, its note, nightly run, and pages.

    The job of a merge request fails only if the candidate is shown to be worse. Run it in the root of the repository.
    """
    root = _write(GITLAB, _choices("gitlab", given))
    main = root / GITLAB_MAIN
    if not main.exists():
        write_whole(main, GITLAB_INCLUDE.encode(), where=GITLAB_MAIN)
        click.echo(f"wrote {GITLAB_MAIN}")
    elif next(iter(GITLAB)) not in main.read_text(encoding="utf-8", errors="replace"):
        click.echo(f"next: add this to {GITLAB_MAIN}:\n{GITLAB_INCLUDE}", nl=False)
    click.echo("for the nightly run: Build, Pipeline schedules")
    click.echo(
        "for notes on merge requests: another schedule, every 15 minutes, with the variable KOKORO_BENCH_TASK=notes,"
    )
    click.echo(
        "and a project access token (role Reporter, scope api) as the protected, masked variable KOKORO_BENCH_TOKEN"
    )


@ci.command()
@click.argument("result", type=UserPath())
@click.option("--strict", is_flag=True, help="also fail where something could not be measured")
def gate(result: Path, strict: bool) -> int:  # noqa: FBT001 - click's own
    """Read what `duel --json` wrote to RESULT, print annotations, and fail only on a regression.

    On GitHub the annotations appear beside the pull request. A duel without a result is a warning.
    """
    from harness.ci.gate import gate as decide
    from harness.ci.gate import github_line, plain_line, read_result

    found = decide(read_result(result), strict=strict)
    line = github_line if os.environ.get("GITHUB_ACTIONS") == "true" else plain_line
    for annotation in found.annotations:
        click.echo(line(annotation))
    return int(found.code)


def _choices(kind: str, given: Mapping[str, Any]) -> Choices:
    """The choices, with the command line that makes the same files again: only what differs from the defaults.

    Where both sides of the duel are a server, the nightly run measures that server too, unless its options are given.
    """
    usual = Choices(command="")
    server = next((each for each in given["arm"].split(",") if each.startswith("server=")), "")
    if server and given["nightly_options"] == NIGHTLY:
        given = {**given, "nightly_options": f"--server {server.removeprefix('server=')} {NIGHTLY}"}
    words = ["kokoro-bench", "ci", kind]
    for name, value in given.items():
        if value == getattr(usual, name):
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{name}")
        else:
            words += [option, str(value)]
    return Choices(command=shlex.join(words), **given)


def _write(kind: Mapping[str, str], choices: Choices) -> Path:
    """Write the files into the root of the repository, which is the working directory."""
    contents = workflow_files(kind, choices)
    root = Path.cwd()
    above = next((each for each in root.parents if (each / ".git").exists()), None)
    if not (root / ".git").exists() and above is not None:
        raise UsageError(
            "workflows belong in the root of the repository", where=str(root), remedy=f"cd {shlex.quote(str(above))}"
        )
    for file in write_files(root, contents):
        click.echo(f"wrote {file.relative_to(root)}")
    return root
