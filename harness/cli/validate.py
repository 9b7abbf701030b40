"""`kokoro-bench validate`: the targets of a server or a model as one table."""

from typing import TYPE_CHECKING

from harness.cli.grouped_help import command
from harness.cli.options import MEASURING, configured, obtain
from harness.core.errors import ExitCode, UsageError
from harness.plan.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from harness.analysis.finished import Finished
    from harness.core.records.run import RunData
    from harness.core.records.scenario import Scenario
    from harness.core.records.verdict import TargetResult

BUDGET_S, WITH_START_S = 60.0, 180.0
"""Measuring time, and that with a server that it starts: one that loads for half a minute leaves few answers."""
TEXTS = ("chars-60", "chars-200")
DEFAULT_TARGETS = (
    ("*", "ttfa", 0.8),
    ("*", "rtf", 1.0),
    ("*", "streaming_efficiency", 0.9),
    ("*", "success_rate", 0.99),
)
"""(pattern of scenario ids, metric, limit) of the default targets, the same for every server and model."""
SIGNS = {"met": ("✓ met", "green"), "missed": ("✗ missed", "bold red"), "unknown": ("? not measured", "yellow")}


@command()
@configured(*MEASURING)
def validate(config: Config) -> int:
    """Check a server (--url, --server) or a model (--model) against its targets.

    The targets are TTFA, RTF, streaming efficiency and success rate. All requests stream. --targets and
    [tool.kokoro-bench.targets] replace the default limits. It measures for a minute, or for three with a server that
    it starts first; --budget sets another time.
    """
    from harness.runner.outputs import write_outputs
    from reports.terminal.console import make_console
    from reports.terminal.output import failures

    finished = play(config)
    data = finished.data
    console = make_console()
    console.print()
    console.print(targets_table(data, promised(config)))
    for line in failures(data):
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    written = write_outputs(finished, config)
    for note in (*data.run.notes, *written.notes):
        console.print(note, markup=False, soft_wrap=True)
    found = finished.code if finished.code is ExitCode.INTERRUPTED else code_of(data, promised(config))
    code = found or written.code
    console.print(f"exit code {int(code)}: {_meaning(code)}", style="dim")
    return int(code)


def play(config: Config) -> "Finished":
    """Measure with the live display. If it is interrupted, return the blocks stored until then."""
    from dataclasses import replace

    from harness.analysis.conclude import Conclusions, conclude, policy_of
    from harness.core.names import SERVER
    from harness.core.records.verdict import VerdictKind
    from harness.metrics.derive import RunValues
    from harness.plan.config import with_values
    from harness.plan.matrix import LaunchPolicy
    from harness.runner.outputs import check_outputs
    from harness.runner.progress import measure_live
    from harness.runner.run_analysis import RunAnalysis, undecided

    check_outputs(config)
    usual_s = WITH_START_S if config["url"].startswith(SERVER) else BUDGET_S
    config = with_values(
        config, {"budget": config["budget"] or usual_s, "targets": (*DEFAULT_TARGETS, *config["targets"])}
    )

    def targets_alone(values: RunValues) -> Conclusions:
        """Check the targets only, without comparisons: other commands report changes."""
        found = conclude(values.data, config=config, derived=values)
        return replace(found, verdicts=tuple(each for each in found.verdicts if each.kind is VerdictKind.FAILED))

    obtain(config)
    return measure_live(
        config,
        wanted(config),
        selection="validate",
        analysis=RunAnalysis(
            conclude=targets_alone,
            enough=undecided,
            policy=policy_of(config),
            # No comparison with another run is made, so the budget may end the run after one launch.
            launch_policy=LaunchPolicy(needed_launches=1),
        ),
    )


def wanted(config: Config) -> "tuple[Scenario, ...]":
    """The streamed scenarios of the one server, or of the models that were named; else of the original."""
    from harness.core.records.scenario import Mode
    from harness.plan.matrix import ScenarioRequest
    from harness.runner.selection import wanted_scenarios

    if config["url"]:
        request = ScenarioRequest(mode=Mode.ENDPOINT, texts=TEXTS, variant=None)
    else:
        request = ScenarioRequest(mode=Mode.STREAM, texts=TEXTS, variant=None, recipes=())
    found = wanted_scenarios(config, [request], "quick")
    if not found:
        raise UsageError(
            "nothing to measure", where="validate", remedy="--url http://127.0.0.1:8880, --server NAME or --model NAME"
        )
    return found


def promised(config: Config) -> frozenset[str]:
    """The metrics of the table: the four default ones, and those with a limit set by the user."""
    return frozenset(name for _, name, _ in (*DEFAULT_TARGETS, *config["targets"]))


def code_of(data: "RunData", metrics: frozenset[str]) -> ExitCode:
    """1 where a target was missed, else 3 where one could not be measured, else 0."""
    kinds = {each.kind.value for each in _shown(data.targets, metrics)}
    if "missed" in kinds:
        return ExitCode.WORSE
    return ExitCode.MEASUREMENT if "unknown" in kinds or not kinds else ExitCode.OK


def targets_table(data: "RunData", metrics: frozenset[str]) -> "Table":
    """One line per scenario and target."""
    from rich.text import Text

    from harness.metrics.registry import metric
    from reports.terminal.plain_table import PlainTable

    table = PlainTable("scenario", "target", "measured", "limit", "", "why", title=f"Validation {data.run.id}")
    for each in _shown(data.targets, metrics):
        shown = metric(each.metric)
        value = each.observed.value
        sign, style = SIGNS[each.kind.value]
        table.add_row(
            Text(each.scenario_id),
            each.metric,
            shown.format(value) if value is not None else "–",
            f"{'<' if shown.lower_is_better else '>'} {shown.format(each.limit)}",
            Text(sign, style=style),
            Text(each.reason or each.observed.reason),
        )
    return table


def _shown(targets: "Sequence[TargetResult]", metrics: frozenset[str]) -> "list[TargetResult]":
    return [each for each in targets if each.metric in metrics]


def _meaning(code: ExitCode) -> str:
    from reports.terminal.output import AFTER_MEASURING

    return {
        **AFTER_MEASURING,
        ExitCode.OK: "every target met",
        ExitCode.WORSE: "a target was missed",
        ExitCode.MEASUREMENT: "a target could not be measured",
        ExitCode.INTERRUPTED: "interrupted; finished blocks are stored",
    }[code]
