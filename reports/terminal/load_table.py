"""Loads as one table: who waited how long, who stalled, what came, and whether the client kept up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.verdict import Summary, TargetKind
from harness.metrics.registry import METRICS
from reports.terminal.plain_table import PlainTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading, and which figure of which metric stands below it."""

    heading: str
    metric: str
    part: str = "median"


COLUMNS = (
    Column(heading="TTFA p50", metric="ttfa"),
    Column(heading="p95", metric="ttfa", part="p95"),
    Column(heading="p99", metric="ttfa", part="p99"),
    Column(heading="latency p95", metric="latency", part="p95"),
    Column(heading="stall p95", metric="stall", part="p95"),
    Column(heading="max", metric="stall", part="maximum"),
    Column(heading="success", metric="success_rate"),
    Column(heading="audio", metric="throughput"),
    Column(heading="goodput", metric="goodput"),
    Column(heading="lag p99", metric="client_lag", part="p99"),
)
"""A percentile that n does not carry is a dash."""


def loads_table(scenarios: Sequence[Scenario], data: RunData) -> Table:
    """One line per load, in the order in which they were planned."""
    summaries = {(each.scenario_id, each.metric): each for each in data.summaries}
    table = PlainTable()
    table.add_column("load", overflow="fold", min_width=12)
    for heading in ("n", *(column.heading for column in COLUMNS)):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("targets", no_wrap=True)
    several = len({scenario.arm for scenario in scenarios}) > 1
    texts = len({scenario.text_class for scenario in scenarios}) > 1
    for scenario in scenarios:
        latency = summaries.get((scenario.id, "latency"))
        cells = [_cell(summaries, scenario, column) for column in COLUMNS]
        name = scenario.traffic.name if scenario.traffic else ""
        named = " ".join([*([scenario.arm.id] if several else []), *([scenario.text_class] if texts else []), name])
        table.add_row(Text(named), str(latency.n if latency else 0), *cells, _targets(scenario, data))
    return table


def _cell(summaries: Mapping[tuple[str, str], Summary], scenario: Scenario, column: Column) -> str:
    summary = summaries.get((scenario.id, column.metric))
    value = getattr(summary, column.part) if summary is not None else None
    return "–" if value is None else METRICS[column.metric].format(value)


def _targets(scenario: Scenario, data: RunData) -> Text:
    kinds = {each.kind for each in data.targets if each.scenario_id == scenario.id}
    if not any(each.scenario_id == scenario.id for each in data.repetitions):
        return Text("not tried", style="dim")
    if TargetKind.MISSED in kinds:
        return Text("✗ missed", style="red")
    return Text("✓ met", style="green") if kinds == {TargetKind.MET} else Text("? not measured", style="yellow")
