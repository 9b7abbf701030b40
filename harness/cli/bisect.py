"""`kokoro-bench bisect`: which version, commit or package between good and bad changed a metric."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command
from harness.cli.options import LISTED, MEASURING, configured, load_run, one_arm, open_results, read_value, write_output
from harness.core.comma_lists import split_list
from harness.core.errors import ExitCode, UsageError
from harness.core.quantities import as_positive_share
from harness.plan.config import Config
from harness.plan.parsing import as_compared_metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.core.records.bisection import Bisection, Place
    from harness.runner.bisect.search import Searched
    from harness.runner.outputs import Written

REVISIONS, PACKAGES, ARMS = "rev", "packages", "arms"
KINDS = {REVISIONS: "commits", PACKAGES: "packages, one by one,", ARMS: "arms"}
"""The first argument where it names no package → what lies between good and bad."""


@command()
@configured(*MEASURING)
@click.option("--metric", default="", metavar="METRIC", help="metric to follow (default: the first that differs)")
@click.option(
    "--effect", default="5%", show_default=True, metavar="PERCENT", help="smallest difference of good and bad to detect"
)
@click.option("--streamed", is_flag=True, help="stream the audio instead of requesting it whole")
@click.option("--versions", metavar="VERSION,…", help="versions of the package, instead of all in the index", **LISTED)
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON; progress goes to standard error")
@click.argument("subject")
@click.argument("ends", nargs=-1, metavar="GOOD BAD")
def bisect(
    config: Config,
    metric: str,
    effect: str,
    streamed: bool,  # noqa: FBT001 - click's own
    versions: str | None,
    as_json: bool,  # noqa: FBT001 - likewise
    subject: str,
    ends: tuple[str, ...],
) -> int:
    """Find which version between GOOD and BAD changed a metric, within --budget (default: 15 minutes).

    \b
    bisect PACKAGE GOOD BAD       versions of a package, such as onnxruntime 1.20.1 1.32.0
    bisect rev GOOD BAD           commits of the git repository that it runs in
    bisect packages RUN RUN       two stored runs with several different packages: which package;
                                  latest and latest~1 count no duels
    bisect arms GOOD … BAD        arguments of `duel`, in order

    A duel of good and bad comes first: it must show a difference, a regression or an improvement. Each probe measures
    one version together with good and bad, and the next one is the version that tells most. Versions that cannot be
    installed or loaded are skipped. The answer is wrong with a probability of at most 1 %. The same command goes on
    where an earlier one ended, with a budget of its own: finished probes are not measured again.
    """  # noqa: D301 - click's own mark for text that is not rewrapped is the character, not its spelling
    size = read_value(as_positive_share, effect, option="--effect")
    chosen = read_value(as_compared_metric, metric, option="--metric") if metric else ""
    given = split_list(versions) if versions else []
    if given and subject in KINDS:
        raise UsageError(f"bisect {subject} takes no versions", where="--versions", remedy="leave it out")
    if as_json:
        with redirect_stdout(sys.stderr):
            found, written = _search(config, subject, ends, given, metric=chosen, effect=size, streamed=streamed)
        from reports.views.bisection import bisection_json

        write_output(bisection_json(found.bisection), "-")
    else:
        found, written = _search(config, subject, ends, given, metric=chosen, effect=size, streamed=streamed)
    code = ExitCode.INTERRUPTED if found.interrupted else exit_code(found.bisection, config)
    return int(code or written.code)


def exit_code(bisection: "Bisection", config: Config) -> ExitCode:
    """0 for an answer; without one 4 where --require answer asks for it."""
    from harness.core.records.bisection import BisectionAnswer

    without = bisection.answer in (BisectionAnswer.UNDECIDED, BisectionAnswer.NO_DIFFERENCE)
    return ExitCode.UNDECIDED if without and config["require"] == "answer" else ExitCode.OK


def _search(
    config: Config,
    subject: str,
    ends: "Sequence[str]",
    versions: "Sequence[str]",
    *,
    metric: str,
    effect: float,
    streamed: bool,
) -> "tuple[Searched, Written]":
    """Search with a live display, write the pages, and print the result."""
    from harness.runner.bisect.search import Wanted, bisect
    from harness.runner.outputs import check_outputs, write_bisection_outputs
    from reports.terminal.bisection import print_bisection
    from reports.terminal.console import make_console, tell

    check_outputs(config)
    console = make_console()

    def report(message: str) -> None:
        tell(console, message, "dim")

    with open_results(config):
        places = _places(config, subject, ends, versions, report=report)
    wanted = Wanted(
        subject=KINDS.get(subject, subject),
        places=places,
        metric=metric,
        effect=effect,
        streamed=streamed,
        as_written=subject == ARMS,
    )
    found = bisect(config, wanted, configured=one_arm, report=report)
    written = write_bisection_outputs(config, found.bisection, last=found.last)
    print_bisection(found.bisection, notes=written.notes, console=console)
    return found, written


def _places(
    config: Config, subject: str, ends: "Sequence[str]", versions: "Sequence[str]", *, report: "Callable[[str], None]"
) -> "tuple[Place, ...]":
    from harness.runner.bisect.places import arm_places, commit_places, package_places, version_places

    if len(ends) < 2 or (len(ends) > 2 and subject != ARMS):
        raise UsageError(
            f"takes a good and a bad one, not {len(ends)} of them",
            where=f"bisect {subject}",
            remedy=f"bisect {subject} GOOD BAD",
        )
    if subject == ARMS:
        return arm_places(ends)
    good, bad = ends
    if subject == REVISIONS:
        return commit_places(config, good, bad)
    if subject == PACKAGES:
        from harness.core.records.run import MEASURED

        with open_results(config) as store:
            return package_places(*(load_run(store, each, among=MEASURED) for each in (good, bad)))
    return version_places(subject, good, bad, given=versions, report=report)
