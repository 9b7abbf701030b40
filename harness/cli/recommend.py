"""`kokoro-bench recommend`: the best combination that was measured on this machine, ready to paste."""

from typing import TYPE_CHECKING

import click

from harness.cli.options import configured, load_run, open_results
from harness.core.errors import UsageError
from harness.plan.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.advice.recommend import Recommendation
    from harness.core.records.run import RunData
    from harness.core.records.scenario import Arm, Scenario
    from harness.models.files import ModelFiles
    from harness.store.runs import RunStore

GOALS = ("ttfa", "throughput", "memory", "size")
LOOKED_AT = 50
"""How many of the newest runs are searched for one with several arms."""


@click.command()
@configured("results", "engine")
@click.option("--for", "goal", type=click.Choice(GOALS), default="ttfa", show_default=True, help="what to optimise")
@click.option("--ignore-quality", is_flag=True, help="also recommend what says or sounds something else")
@click.argument("runs", nargs=-1)
def recommend(config: Config, goal: str, ignore_quality: bool, runs: tuple[str, ...]) -> None:  # noqa: FBT001 - click passes options by name
    """Name the best measured configuration, its advantage, and how to use it.

    Only configurations whose speech is equivalent to their original's are recommended, or whose quality is unknown.

    RUN: runs of one machine (default: this machine's newest run with several configurations).
    """
    from harness.analysis.advice.recommend import OBJECTIVES
    from harness.analysis.advice.recommend import recommend as choose

    with open_results(config) as store:
        data = [load_run(store, each) for each in dict.fromkeys(runs)] or [_newest(config, store)]
    found = choose(data, OBJECTIVES[goal], ignore_quality=ignore_quality)
    print_recommendation(found)
    click.echo()
    click.echo(snippet_of(found.best.arm), nl=False)


def print_recommendation(found: "Recommendation") -> None:
    """Print the candidates, best first, each with its distance from the best, and the excluded arms."""
    from rich.text import Text

    from harness.analysis.advice.messages import sentence
    from harness.analysis.messages import percent, span
    from harness.analysis.stats.paired import FEWEST_PAIRS
    from harness.core.comma_lists import listed
    from harness.metrics.registry import METRICS
    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    console = make_console()
    metric = METRICS[found.objective.metric]
    table = PlainTable("combination", metric.name, "behind the best", "")
    table.add_row(found.best.arm.id, metric.format(found.best.figure), "–", "best")
    for candidate, lead in zip(found.candidates[1:], found.leads, strict=True):
        behind = lead.behind
        shown = f"{percent(behind.point)} ({span(behind, between=' … ')})" if behind else "–"
        standing = "level" if lead.level else ""
        if not lead.enough_pairs:
            standing = f"too few pairs: at least {FEWEST_PAIRS} are needed"
        table.add_row(
            candidate.arm.id,
            metric.format(candidate.figure),
            shown,
            standing,
        )
    console.print(Text(f"{found.objective.meaning}; {', '.join(found.texts)}; run {', '.join(found.run_ids)}"))
    console.print(table)
    for each in found.excluded:
        console.print(Text(f"excluded: {each.arm_id}: {each.reason}", style="yellow"), soft_wrap=True)
    if found.unjudged:
        console.print(Text(f"quality of speech unknown, not excluded: {listed(found.unjudged)}"), soft_wrap=True)
    console.print(Text(sentence(found), style="bold"), soft_wrap=True)
    if command := duel_of(found):
        console.print(Text(f"to confirm it with a paired comparison: {command}"), soft_wrap=True)


def duel_of(found: "Recommendation") -> str:
    """The duel command of the best against the second best arm; "" if size decided, or no argument describes an arm."""
    second = next((candidate.arm for candidate in found.candidates[1:]), None)
    if second is None or found.objective.metric == "model_size":
        return ""
    # A text of a recommendation is a scenario's id without its arm: whole/chars-60/af_heart.
    texts = dict.fromkeys(text.split("/")[1] for text in found.texts)
    return duel_command(found.best.arm, second, texts=tuple(texts))


def duel_command(candidate: "Arm", reference: "Arm", *, texts: "Sequence[str]") -> str:
    """The command that compares two arms; "" if no argument of `duel` describes one of them."""
    from harness.engines.declarations import declaration_of
    from harness.plan.arm_spec import arm_spec_of

    sides = [arm_spec_of(candidate), arm_spec_of(reference)]
    engine = f" --engine {candidate.engine}" if declaration_of(candidate.engine).is_scripted else ""
    return f"kokoro-bench duel {sides[0]} {sides[1]} --text {','.join(texts)}{engine}" if all(sides) else ""


def snippet_of(arm: "Arm") -> str:
    """Python code to paste, with the paths of the measured files if this machine has them."""
    from harness.analysis.advice.snippet import snippet

    if arm.model is None:
        return ""
    files = _files_of(arm)
    if files is None:
        missing = f"# {arm.model.name}, SHA-256 {arm.model.sha256}, is not in the cache: put its path here\n"
        return missing + snippet(arm, model_path=f"{arm.model.name}.onnx", voices_path="voices.bin")
    return snippet(arm, model_path=str(files.model_path), voices_path=str(files.voices_path))


def serve_command_of(scenario: "Scenario", config: Config) -> str:
    """The command that serves the arm and voice of a scenario; "" if its engine is no part of the reference server."""
    from harness.analysis.advice.serve_command import serve_command

    arm = scenario.arm
    if arm.model is None:
        return ""
    files = _files_of(arm)
    model = str(files.model_path) if files and arm.model.origin == "user" else arm.model.name
    return serve_command(arm, model=model, voices=config["voices"], voice=scenario.voice)


def model_path_of(arm: "Arm") -> str:
    """The path of the measured model file; "" if this machine does not have it."""
    files = _files_of(arm)
    return str(files.model_path) if files else ""


def _files_of(arm: "Arm") -> "ModelFiles | None":
    """The files of an arm's model, by its digest; None if this machine does not have them."""
    from harness.core.errors import ModelError
    from harness.plan.model_catalogue import model_catalogue

    if arm.model is None:
        return None
    try:
        catalogue = model_catalogue()
        known = catalogue.cache.by_digest(arm.model.sha256)
        files = catalogue.cache.files(known) if known else catalogue.resolve(arm.model.name, build=False)
    except ModelError:
        return None
    return files if files.variant.sha256 == arm.model.sha256 else None


def _newest(config: Config, store: "RunStore") -> "RunData":
    """The newest run of this machine with several arms, none of them slowed on purpose."""
    from harness.core.records.run import RunKind
    from harness.runner.resources import machine_key

    for row in store.list(machine_key=machine_key(config), limit=LOOKED_AT):
        if row.kind is RunKind.REPLAY:
            continue
        arms = {scenario.arm for scenario in store.head(row.id).scenarios}
        if len(arms) > 1 and not any(arm.slowdown for arm in arms):
            return store.load(row.id)
    raise UsageError(
        "no run of this machine has several combinations in it",
        where=store.place,
        remedy="kokoro-bench run --full measures models, providers and session options",
    )
