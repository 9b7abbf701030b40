"""`kokoro-bench tune`: search the session options within a budget, and confirm the winner in a duel."""

from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command
from harness.cli.options import SEARCHING, configured, one_arm, read_value
from harness.core.errors import ExitCode, UsageError
from harness.core.quantities import as_positive_share
from harness.plan.config import Config
from harness.runner.run_duel import launches_known_here, run_duel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.finished import Finished
    from harness.runner.search import Found, Search

BUDGET_S = 600.0
TEXT = "chars-60"
METRIC = {"ttfa": "ttfa", "throughput": "rtf", "memory": "rss_peak"}


@command()
@configured(*SEARCHING)
@click.option(
    "--for", "goal", type=click.Choice(list(METRIC)), default="ttfa", show_default=True, help="what to optimise"
)
@click.option(
    "--try", "changes", multiple=True, metavar="CHANGE", help="a candidate, written as an argument of duel; repeatable"
)
@click.option(
    "--effect", default="2%", show_default=True, metavar="PERCENT", help="smallest change that the final duel detects"
)
@click.option("--ignore-quality", is_flag=True, help="also choose what says or sounds something else")
def tune(config: Config, goal: str, changes: tuple[str, ...], effect: str, ignore_quality: bool) -> int:  # noqa: FBT001 - click passes options by name
    """Search thread counts and session options, starting at the configured arm, within --budget (default: 10 minutes).

    Each round compares the remaining candidates with the configured arm in paired blocks and drops the worse half.
    After the first round the best changes are also combined. A duel confirms the winner.
    """
    from harness.plan.arm_options import check_changes
    from harness.plan.config import with_values
    from harness.runner.duel import DuelArms
    from harness.runner.search import DEFAULT_CHANGES, Search
    from harness.runner.search_runs import SearchRuns, Stopped
    from reports.terminal.console import make_console
    from reports.terminal.output import print_duel

    size = read_value(as_positive_share, effect, option="--effect")
    text = _single(config["text"], "--text") or TEXT
    search = Search(
        base=one_arm(config),
        metric=METRIC[goal],
        text=text,
        voice=config.one_voice("tune"),
        language=config["language"],
        changes=changes or DEFAULT_CHANGES,
        ignore_quality=ignore_quality,
    )
    check_changes(search.base, changes, option="--try")
    budget_s = config["budget"] or BUDGET_S
    try:
        runs = SearchRuns(config=config, command="tune", report=click.echo)
        found = search.run(runs.measure_round, budget_s=budget_s)
    except Stopped:
        return int(ExitCode.INTERRUPTED)
    console = make_console()
    print_search(found, metric=search.metric)
    if not found.winner:
        unfit = any(each.unfit for each in found.rounds)
        lost = "is equivalent to its original" if unfit else "could be measured"
        console.print(f"no candidate {lost}: the configured arm stays")
        return int(ExitCode.MEASUREMENT)
    sides = DuelArms(candidate=search.arm(found.winner), reference=search.base)
    limited = with_values(config, {"budget": found.duel_s, "text": (text,)})
    selection = f"tune: {found.winner} against current"
    known = launches_known_here(config)
    finished = run_duel(limited, sides, effect=size, selection=selection, launches=known, part_of_s=budget_s)
    print_duel(finished, candidate=found.winner, reference="current")
    return _answer(finished, search, winner=found.winner)


def print_search(found: "Found", *, metric: str) -> None:
    """Print the result of each round."""
    from harness.analysis.messages import percent
    from reports.terminal.console import make_console

    console = make_console()
    for number, each in enumerate(found.rounds):
        console.print(f"round {number + 1} (run {each.run_id}): {metric} against current")
        for change, value in sorted(each.found.items(), key=lambda item: (item[1] is None, item[1] or 0.0)):
            shown = "not validly measured" if value is None else percent(value)
            why = f": {each.out[change]}" if change in each.out else ""
            console.print(f"  {change}: {shown}{'' if change in each.kept else ', dropped'}{why}", soft_wrap=True)


def _answer(finished: "Finished", search: "Search", *, winner: str) -> int:
    from harness.analysis.advice.recommend import QUALITY, quality_failures
    from harness.cli.recommend import duel_command, snippet_of
    from harness.core.records.verdict import VerdictKind

    verdicts = {verdict.metric: verdict.kind for verdict in finished.data.verdicts}
    won = verdicts.get(search.metric) is VerdictKind.IMPROVED
    unfit = quality_failures(() if search.ignore_quality else finished.data.verdicts)
    if won and unfit:
        click.echo(f"{winner} is not recommended: {next(iter(unfit.values()))}")
    elif won:
        click.echo(snippet_of(finished.data.run.scenarios[0].arm), nl=False)
    elif finished.code is not ExitCode.INTERRUPTED:
        click.echo(f"{search.metric}: not shown to be better than the configured arm, which stays")
    if command := duel_command(search.arm(winner), search.base, texts=(search.text,)):
        click.echo(f"to confirm it with a paired comparison: {command}")
    if finished.code is ExitCode.INTERRUPTED:
        return int(ExitCode.INTERRUPTED)
    ignored = QUALITY if search.ignore_quality else ()
    failed = any(kind is VerdictKind.FAILED and metric not in ignored for metric, kind in verdicts.items())
    return int(ExitCode.MEASUREMENT if failed else ExitCode.OK)


def _single(given: "Sequence[str]", option: str) -> str:
    if len(given) > 1:
        raise UsageError("tune takes one text class", where=option, remedy="tune for each one separately")
    return given[0] if given else ""
