"""`kokoro-bench optimise`: search models, threads and session options for the best that is here, and prove it."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from harness.cli.grouped_help import command
from harness.cli.options import SEARCHING, configured, one_arm, read_value, write_output
from harness.cli.recommend import GOALS
from harness.core.errors import ExitCode, UsageError
from harness.core.quantities import as_positive_share
from harness.plan.config import Config

if TYPE_CHECKING:
    from harness.core.records.scenario import Arm
    from harness.runner.optimise import Outcome, Wanted

BUDGET_S = 1800.0
EQUIVALENT, ANY = "equivalent", "any"


@command()
@configured(*(name for name in SEARCHING if name not in ("model", "quality")))
@click.option("--for", "goal", type=click.Choice(GOALS), default="ttfa", show_default=True, help="what to optimise")
@click.option(
    "--quality",
    type=click.Choice([EQUIVALENT, ANY]),
    default=EQUIVALENT,
    show_default=True,
    help="the speech of the winner: equivalent to its original's, or any",
)
@click.option(
    "--try",
    "changes",
    multiple=True,
    metavar="CHANGE",
    help="a candidate in place of the usual options, written as an argument of duel; repeatable",
)
@click.option(
    "--effect", default="2%", show_default=True, metavar="PERCENT", help="smallest change that the final duel detects"
)
@click.option("--resume", is_flag=True, help="continue a search with these settings that was killed")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON; progress goes to standard error")
@click.argument("model", required=False)
def optimise(
    config: Config,
    goal: str,
    quality: str,
    changes: tuple[str, ...],
    effect: str,
    resume: bool,  # noqa: FBT001 - click passes options by name
    as_json: bool,  # noqa: FBT001 - likewise
    model: str | None,
) -> int:
    """Search for the best model file, threads and session options, starting at MODEL on default options.

    MODEL is a name or a file (default: as configured). Within --budget (default: 30 minutes) the command makes graphs
    of it and quantised variants of its original, compares them with MODEL in rounds of paired blocks, judges the speech
    of the leaders, and ends with a duel of the winner against MODEL on texts that the search did not use. It prints the
    model file and code to use it, or that nothing is proven to be better.

    With --engine kokoro-sentences it answers for `serve` too, and prints the winner's command. For ttfa it then streams
    the audio and tries where texts are split; what stalls never wins.
    """
    from harness.analysis.advice.serve_command import splits_texts
    from harness.plan.arm_options import check_changes
    from harness.runner.optimise import Wanted

    config = _with_model(config, model)
    size = read_value(as_positive_share, effect, option="--effect")
    if len(config["text"]) > 1:
        raise UsageError("optimise takes one text class", where="--text", remedy="search for each one separately")
    base = _base(config)
    if base.model is None or base.url:
        raise UsageError("there is no model to optimise", where="--engine", remedy="an engine that loads a model")
    check_changes(base, changes, option="--try")
    streamed = goal == "ttfa" and splits_texts(base.engine)
    wanted = Wanted(
        goal=goal,
        budget_s=config["budget"] or BUDGET_S,
        changes=changes or _usual(streamed=streamed),
        streamed=streamed,
        effect=size,
        any_quality=quality == ANY,
        resumed=resume,
    )
    if not as_json:
        return _searched(config, base, wanted, as_json=False)
    with redirect_stdout(sys.stderr):
        return _searched(config, base, wanted, as_json=True)


def _searched(config: Config, base: "Arm", wanted: "Wanted", *, as_json: bool) -> int:
    from harness.runner.optimise import optimise as search
    from harness.runner.search_runs import Stopped
    from reports.terminal.console import make_console, tell

    console = make_console()
    try:
        found = search(config, base, wanted, lambda message: tell(console, message, "dim"))
    except Stopped:
        click.echo("stopped; --resume continues the search", err=True)
        return int(ExitCode.INTERRUPTED)
    code = _code(found)
    _print(config, found)
    if as_json:
        from harness.cli.search_output import search_json

        with redirect_stdout(sys.__stdout__ or sys.stdout):
            write_output(search_json(found, code=code, **_uses(config, found)), "-")
    return int(code)


def _with_model(config: Config, model: str | None) -> Config:
    from harness.models.naming import as_path
    from harness.plan.config import with_values

    if not model:
        return config
    path = as_path(model)
    return with_values(config, {"model": (str(path.absolute()) if path else model,)})


def _base(config: Config) -> "Arm":
    from harness.plan.arm_spec import with_model
    from harness.plan.labels import configured_labels

    base = one_arm(config, download=not config["model"])
    labels = configured_labels(config)
    return with_model(base, next(iter(labels.values()))) if labels and base.model else base


def _usual(*, streamed: bool) -> tuple[str, ...]:
    from harness.runner.search import DEFAULT_CHANGES, SPLITS

    return (*SPLITS, *DEFAULT_CHANGES) if streamed else DEFAULT_CHANGES


def _code(found: "Outcome") -> ExitCode:
    from harness.core.records.verdict import VerdictKind

    if found.duel is not None and found.duel.code is ExitCode.INTERRUPTED:
        return ExitCode.INTERRUPTED
    measured = any(value is not None for each in found.found.rounds for value in each.found.values())
    failed = any(each.kind is VerdictKind.FAILED for each in found.deciding)
    return ExitCode.OK if measured and not failed else ExitCode.MEASUREMENT


def _print(config: Config, found: "Outcome") -> None:
    """Print the table of all that was tried, the duel, and the answer with the code to use it."""
    from harness.cli.search_output import print_answer, print_tried
    from reports.terminal.output import print_duel

    print_tried(found)
    if found.duel is not None:
        print_duel(found.duel, candidate=found.winner, reference="current")
    print_answer(found, **_uses(config, found))


def _uses(config: Config, found: "Outcome") -> dict[str, str]:
    """The winner's model file, code to use it and the command that serves it; "" if nothing is proven."""
    from harness.cli.recommend import model_path_of, serve_command_of, snippet_of

    if not found.proven or found.duel is None:
        return {"model": "", "snippet": "", "serve": ""}
    scenario = found.duel.data.run.scenarios[0]
    model, snippet = model_path_of(scenario.arm), snippet_of(scenario.arm)
    return {"model": model, "snippet": snippet, "serve": serve_command_of(scenario, config)}
