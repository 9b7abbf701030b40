"""A run in the terminal's tables: a line for each scenario, with its medians and its most urgent verdict."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from harness.analysis.conclude import without_interval
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode, Scenario
from harness.core.records.verdict import SPEECH_VERDICT, Leniency, Summary, Verdict, VerdictKind
from harness.metrics.registry import METRICS
from reports.terminal.console import PIPED_WIDTH
from reports.terminal.load_table import loads_table
from reports.terminal.plain_table import PlainTable
from reports.text.speech import WORD_ERRORS_HEAD, speech_words, word_errors

STARTUP = ("load_time", "load_first_inference", "rss_loaded")
FIRST_REQUESTS = ("warm_up_cost", "latency", "rtf", "rss_peak")
SYNTHESIS = ("ttfa", "latency", "rtf", "rss_peak")
AT_ONCE = ("ttfa", "latency", "throughput", "longest_wait")
SOAK = ("latency", "rtf", "rss_peak", "rss_slope")
"""Columns of the tables; every other figure is in the report."""
DNSMOS = "dnsmos_overall"
"""Shown beside those of `SYNTHESIS`, with the words in error, in a wide terminal, where any audio was judged."""
WIDE = 100

SIGNS = {
    VerdictKind.REGRESSED: ("▲ worse", "bold red"),
    VerdictKind.IMPROVED: ("▼ better", "bold green"),
    VerdictKind.UNCHANGED: ("= unchanged", "green"),
    VerdictKind.SAME_SUBJECT: ("≡ same subject", "green"),
    VerdictKind.INCONCLUSIVE: ("? inconclusive", "yellow"),
    VerdictKind.INCOMPARABLE: ("≠ incomparable", "yellow"),
    VerdictKind.NO_BASELINE: ("· no baseline", "dim"),
    VerdictKind.MISSING: ("! missing", "bold yellow"),
    VerdictKind.FAILED: ("✗ failed", "bold red"),
    VerdictKind.DIFFERENT: ("≈ different", "yellow"),
    Leniency.WAIVED: ("▲ waived", "yellow"),
    Leniency.INFORMS: ("▲ worse, informs", "yellow"),
}
"""Verdict → its sign, legible without colour, and its style; in the order of what a reviewer must see first."""

URGENCY = (
    VerdictKind.FAILED,
    VerdictKind.REGRESSED,
    VerdictKind.MISSING,
    Leniency.WAIVED,
    Leniency.INFORMS,
    VerdictKind.IMPROVED,
    VerdictKind.DIFFERENT,
    VerdictKind.INCOMPARABLE,
    VerdictKind.INCONCLUSIVE,
    VerdictKind.UNCHANGED,
    VerdictKind.SAME_SUBJECT,
    VerdictKind.NO_BASELINE,
)


def results_table(data: RunData, *, width: int = PIPED_WIDTH) -> Group:
    """A table for each kind of scenario: one line per scenario with medians and the most urgent verdict.

    A terminal of fewer than `WIDE` columns gets no intervals, which are in the report, and each arm's name but once.
    """
    run = data.run
    head = Text(f"Run {run.id}: {run.status.value}, seed {run.seed}, machine {run.machine.key}")
    under_load = [scenario for scenario in run.scenarios if scenario.traffic is not None]
    others = [scenario for scenario in run.scenarios if scenario.traffic is None]
    tables = [
        _table(found, shown, data, wide=width >= WIDE)
        for shown in (STARTUP, FIRST_REQUESTS, SYNTHESIS, AT_ONCE, SOAK)
        if (found := [scenario for scenario in others if _shown(scenario) is shown])
    ]
    few = _without_interval(data, others) if width >= WIDE else []
    return Group(head, *tables, *([loads_table(under_load, data)] if under_load else []), *few)


def _without_interval(data: RunData, scenarios: Sequence[Scenario]) -> list[Text]:
    """A line for the figures in the tables that stand without an interval; none where each has one."""
    shown = {(scenario.id, name) for scenario in scenarios for name in _shown(scenario)}
    reasons = sorted({words for key, words in without_interval(data).items() if key in shown})
    return [Text(f"figures without ±: {'; '.join(reasons)}", style="dim")] if reasons else []


def _shown(scenario: Scenario) -> Sequence[str]:
    if scenario.mode.is_start_up:
        return STARTUP
    if scenario.mode is Mode.WARM_UP:
        return FIRST_REQUESTS
    if scenario.concurrency > 1:
        return AT_ONCE
    return SOAK if scenario.repeats > 1 else SYNTHESIS


def _table(scenarios: Sequence[Scenario], shown: Sequence[str], data: RunData, *, wide: bool) -> Table:
    summaries = {(summary.scenario_id, summary.metric): summary for summary in data.summaries}
    figures = {
        name: [_figure(summaries.get((scenario.id, name)), interval=wide) for scenario in scenarios] for name in shown
    }
    if shown is SYNTHESIS and wide:
        errors = word_errors(data)
        spoken = {
            WORD_ERRORS_HEAD: [errors.get(each.id, "–") for each in scenarios],
            DNSMOS: [_figure(summaries.get((each.id, DNSMOS)), interval=False) for each in scenarios],
        }
        figures |= {name: column for name, column in spoken.items() if set(column) != {"–"}}
    if figures.get("ttfa") == figures.get("latency"):
        # Without streaming, the first audio arrives with the last.
        figures.pop("ttfa", None)
    words = speech_words(data)
    if any(scenario.id in words for scenario in scenarios):
        figures["speech"] = [words.get(scenario.id, "–") for scenario in scenarios]
    table = PlainTable()
    table.add_column("scenario", overflow="fold", min_width=24 if wide else 20)
    table.add_column("n", justify="right", no_wrap=True)
    for name in figures:
        table.add_column(name if wide else name.replace("load_first_", "first_"), justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold")
    common, arm = _common_voice(scenarios), ""
    for number, scenario in enumerate(scenarios):
        named = scenario.id.removesuffix(common)
        if not wide:
            if scenario.arm.id != arm:
                arm = scenario.arm.id
                table.add_row(arm)
            named = f"  {named.removeprefix(f'{arm}/')}"
        own = [summaries.get((scenario.id, name)) for name in shown]
        row = [column[number] for column in figures.values()]
        table.add_row(named, _count(own), *row, _verdict(scenario, data.verdicts))
    return table


def _common_voice(scenarios: Sequence[Scenario]) -> str:
    """What every line would end with says nothing, unless it is how many texts are asked for."""
    endings = {f"/{scenario.id.rpartition('/')[2]}" for scenario in scenarios}
    several = any(scenario.is_concurrent or scenario.repeats > 1 for scenario in scenarios)
    return endings.pop() if len(endings) == 1 and not several and not scenarios[0].mode.is_start_up else ""


def _count(summaries: Sequence[Summary | None]) -> str:
    counts = {summary.n for summary in summaries if summary is not None and summary.n}
    return str(max(counts)) if counts else "0"


def _figure(summary: Summary | None, *, interval: bool) -> str:
    if summary is None or summary.median is None:
        return "–"
    metric, found = METRICS[summary.metric], summary.interval
    text = metric.format(summary.median)
    if found is None or not summary.median or not interval:
        return text
    half = (found.high - found.low) / 2
    if half < abs(summary.median) and metric.least <= summary.median - half:
        return f"{text} ±{half / abs(summary.median):.1%}"
    # A symmetrical width would reach beyond what the figure can be, or is no part of a figure near zero.
    return f"{text} ({metric.format(found.low)} to {metric.format(found.high)})"


def _verdict(scenario: Scenario, verdicts: Sequence[Verdict]) -> Text:
    # What its speech is has a column of its own.
    own = [
        verdict
        for verdict in verdicts
        if verdict.scenario_id == scenario.id
        and (verdict.metric != SPEECH_VERDICT or verdict.kind is VerdictKind.FAILED)
    ]
    if not own:
        return Text("–")
    first = min(own, key=lambda verdict: URGENCY.index(verdict.shown_as)).shown_as
    sign, style = SIGNS[first]
    alike = [verdict.metric for verdict in own if verdict.shown_as is first]
    named = first in (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.FAILED, VerdictKind.MISSING, *Leniency)
    return Text(f"{sign} {', '.join(alike)}" if named else sign, style=style)
