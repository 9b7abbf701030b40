"""What a person sees in the terminal: progress while it measures, then results, verdicts and where the report lies."""

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column, Table
from rich.text import Text

from harness.arm_table import arm_table, plain_table
from harness.errors import ExitCode
from harness.explain import explained
from harness.judge.wording import percent, unsigned
from harness.laboratory import Finished
from harness.load_table import loads_table
from harness.measure import events
from harness.metrics.registry import METRICS
from harness.records.repetition import Outcome
from harness.records.run import RunData, RunRecord, RunStatus
from harness.records.scenario import Arm, Scenario
from harness.records.verdict import Summary, TargetKind, Verdict, VerdictKind
from reports.headline import headline

STARTUP = ("load_time", "load_first_inference", "rss_loaded")
SYNTHESIS = ("ttfa", "latency", "rtf", "rss_peak")
"""Columns of the tables; every other figure is in the report."""
PIPED_WIDTH = 140
WIDE = 100
BAR_WIDTH = 24

SIGNS = {
    VerdictKind.REGRESSED: ("▲ worse", "bold red"),
    VerdictKind.IMPROVED: ("▼ better", "bold green"),
    VerdictKind.UNCHANGED: ("= unchanged", "green"),
    VerdictKind.INCONCLUSIVE: ("? inconclusive", "yellow"),
    VerdictKind.INCOMPARABLE: ("≠ incomparable", "yellow"),
    VerdictKind.NO_BASELINE: ("· no baseline", "dim"),
    VerdictKind.MISSING: ("! missing", "bold yellow"),
    VerdictKind.FAILED: ("✗ failed", "bold red"),
}
"""Verdict → its sign, legible without colour, and its style; in the order of what a reviewer must see first."""

URGENCY = (
    VerdictKind.FAILED,
    VerdictKind.REGRESSED,
    VerdictKind.MISSING,
    VerdictKind.IMPROVED,
    VerdictKind.INCOMPARABLE,
    VerdictKind.INCONCLUSIVE,
    VerdictKind.UNCHANGED,
    VerdictKind.NO_BASELINE,
)


def make_console() -> Console:
    """The terminal, or for a file or a pipe a width that no table has to be folded for."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


class LiveConsole:
    """A listener of the conductor: a bar with the remaining time on a terminal, one line per launch elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or make_console()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            BarColumn(bar_width=BAR_WIDTH),
            TaskProgressColumn(),
            TextColumn("{task.fields[remaining]}", table_column=Column(justify="right", no_wrap=True)),
            console=self._console,
            transient=True,
            expand=True,
            # Every refresh would take time from the engine that is being measured.
            refresh_per_second=1,
            auto_refresh=False,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=1.0, remaining="")
        self._stage = ""
        self._left = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def report(self, message: str) -> None:
        """Say what is being prepared."""
        self._console.print(Text(message, style="dim"))

    def __call__(self, event: events.Event) -> None:
        """Show an event."""
        if isinstance(event, events.Progress):
            self._left = _left(event)
            self._progress.update(self._task, description=event.doing, completed=event.share, remaining=self._left)
            self._progress.refresh()
        elif isinstance(event, events.ScenarioLost):
            lost = Text(f"lost: {event.scenario_id}: {event.outcome.reason}", style="yellow")
            self._console.print(lost, soft_wrap=True)
        elif not self._console.is_terminal:
            self._plain(event)

    def _plain(self, event: events.Event) -> None:
        """A line for each stage and each block: what a log of a CI can show of a bar."""
        if isinstance(event, events.Launched):
            stage = "start-ups" if event.launch.dedicated else f"launch {event.launch.launch + 1}"
            if stage != self._stage:
                self._stage = stage
                self._console.print(f"{stage}: measuring")
        elif isinstance(event, events.BlockDone):
            valid = sum(repetition.outcome.valid for repetition in event.repetitions)
            done = f"{valid} of {len(event.repetitions)} valid, {event.block.wall_ns / 1e9:.1f} s"
            self._console.print(f"  block {event.block.block + 1}: {done}; {self._left}")


def print_outcome(finished: Finished, *, notes: Sequence[str] = (), console: Console | None = None) -> None:
    """The whole outcome: tables, what was not measured, headline, notes, and what the exit code means."""
    console = console or make_console()
    data = finished.data
    console.print()
    console.print(results_table(data, width=console.width))
    if beside := arm_table(data, wide=console.width >= WIDE):
        console.print(beside)
    for line in failures(data):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    for line in missed_targets(data):
        console.print(Text(line, style="red"), soft_wrap=True)
    console.print(_headline(data), soft_wrap=True)
    for note in (*data.run.notes, *notes):
        console.print(Text(note), soft_wrap=True)
    console.print(Text(_meaning(finished.code, data), style="dim"))


def print_duel(
    finished: Finished, *, candidate: str, reference: str, notes: Sequence[str] = (), console: Console | None = None
) -> None:
    """A duel: the ratio with its interval for each text and metric, the verdict, and what could have been seen."""
    console = console or make_console()
    data = finished.data
    console.print()
    sides = [
        _side(candidate, data.run.scenarios[0].arm, data.run),
        _side(reference, data.run.scenarios[1].arm, data.run),
    ]
    console.print(Text(f"Duel {data.run.id}: {' against '.join(sides)}, {len(data.blocks)} pairs of each text"))
    table = plain_table()
    for column in ("text", "metric", "change", "interval", "verdict", "could have seen"):
        table.add_column(column, overflow="fold")
    texts = {scenario.id: scenario.text_class for scenario in data.run.scenarios}
    for verdict in data.verdicts:
        sign, style = SIGNS[verdict.kind]
        change, seen = verdict.change, verdict.detectable
        table.add_row(
            texts[verdict.scenario_id],
            verdict.metric,
            percent(change.point) if change else "–",
            f"{percent(change.low)} … {percent(change.high)}" if change else "–",
            Text(sign, style=style),
            unsigned(seen) if seen is not None else "–",
        )
    console.print(table)
    for verdict in data.verdicts:
        if verdict.kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.FAILED):
            console.print(Text(f"{verdict.metric}: {explained(verdict)}"), soft_wrap=True)
    for line in failures(data):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    console.print(_headline(data))
    for note in (*data.run.notes, *notes):
        console.print(Text(note), soft_wrap=True)
    console.print(Text(_meaning(finished.code, data), style="dim"))


def _side(said: str, arm: Arm, run: RunRecord) -> str:
    """A side as it was written, with the source that it stands for where that does not go without saying."""
    if arm.revision:
        return said if arm.revision in said else f"{said} (revision {arm.revision})"
    return f"{said} (work tree with uncommitted changes)" if run.subject.dirty and not arm.url else said


def print_run(data: RunData, *, console: Console | None = None) -> None:
    """A stored run: table, every verdict with its reason, failures with the end of their stderr."""
    console = console or make_console()
    console.print(results_table(data, width=console.width))
    console.print(_headline(data), soft_wrap=True)
    for verdict in data.verdicts:
        sign, style = SIGNS[verdict.kind]
        line = f"{sign}  {verdict.scenario_id}  {verdict.metric}: {explained(verdict)}"
        console.print(Text(line, style=style), soft_wrap=True)
    for line in (*missed_targets(data), *failures(data)):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    outcomes = [launch.outcome for launch in data.launches]
    outcomes += [repetition.outcome for repetition in data.repetitions]
    for tail in dict.fromkeys(outcome.stderr_tail for outcome in outcomes if outcome.stderr_tail):
        console.print(Text(f"end of the worker's stderr:\n{tail}", style="dim"), soft_wrap=True)


def results_table(data: RunData, *, width: int = PIPED_WIDTH) -> Group:
    """Two tables, start-up and synthesis: one line per scenario with medians and the most urgent verdict.

    A terminal of fewer than `WIDE` columns gets no intervals, which are in the report, and each arm's name but once.
    """
    run = data.run
    head = Text(f"Run {run.id}: {run.status.value}, seed {run.seed}, machine {run.machine.key}")
    loads = [scenario for scenario in run.scenarios if scenario.mode.is_load]
    others = [scenario for scenario in run.scenarios if not scenario.mode.is_load and scenario.traffic is None]
    tables = [
        _table(found, shown, data, wide=width >= WIDE)
        for found, shown in ((loads, STARTUP), (others, SYNTHESIS))
        if found
    ]
    under_load = [scenario for scenario in run.scenarios if scenario.traffic is not None]
    return Group(head, *tables, *([loads_table(under_load, data)] if under_load else []))


def _table(scenarios: Sequence[Scenario], shown: Sequence[str], data: RunData, *, wide: bool) -> Table:
    summaries = {(summary.scenario_id, summary.metric): summary for summary in data.summaries}
    figures = {
        name: [_figure(summaries.get((scenario.id, name)), interval=wide) for scenario in scenarios] for name in shown
    }
    if figures.get("ttfa") == figures.get("latency"):
        # Where nothing streams, all is heard when all is there.
        figures.pop("ttfa", None)
    table = plain_table()
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
    """What every line would end with says nothing."""
    endings = {f"/{scenario.id.rpartition('/')[2]}" for scenario in scenarios}
    return endings.pop() if len(endings) == 1 and not scenarios[0].mode.is_load else ""


def failures(data: RunData) -> list[str]:
    """One line for each kind of failure that a scenario's repetitions had, the commonest first, with a reason."""
    lines = []
    for scenario in data.run.scenarios:
        bad = [
            repetition.outcome
            for repetition in data.repetitions
            if repetition.scenario_id == scenario.id and not repetition.outcome.valid
        ]
        # The reasons of one kind may differ in figures; the first stands for them.
        for kind, times in Counter(outcome.fault or outcome.kind.value for outcome in bad).most_common():
            first = next(outcome for outcome in bad if (outcome.fault or outcome.kind.value) == kind)
            lines.append(f"{scenario.id}: {times} × {first.kind.value}{_named(first)}: {first.reason}")
    return lines + [
        f"{launch.arm_id}, launch {launch.launch + 1}: {launch.outcome.kind.value}: {launch.outcome.reason}"
        for launch in data.launches
        if not launch.outcome.valid
    ]


def _named(outcome: Outcome) -> str:
    """The engine's name for a failure, where it has one."""
    return f" ({outcome.fault})" if outcome.fault else ""


def missed_targets(data: RunData) -> list[str]:
    """One line for each target that was missed."""
    return [
        f"target missed: {target.scenario_id}: {target.metric} {METRICS[target.metric].format(target.observed.value)}, "
        f"limit {METRICS[target.metric].format(target.limit)}"
        for target in data.targets
        if target.kind is TargetKind.MISSED and target.observed.value is not None
    ]


def _headline(data: RunData) -> Text:
    """The report's own sentence: terminal and page never say two things."""
    said = headline(data)
    return Text(" ".join(part for part in (said.sentence, said.detail, said.status) if part), style="bold")


def _count(summaries: Sequence[Summary | None]) -> str:
    counts = {summary.n for summary in summaries if summary is not None and summary.n}
    return str(max(counts)) if counts else "0"


def _figure(summary: Summary | None, *, interval: bool) -> str:
    if summary is None or summary.median is None:
        return "–"
    text = METRICS[summary.metric].format(summary.median)
    if summary.interval is None or not summary.median or not interval:
        return text
    half = (summary.interval.high - summary.interval.low) / 2 / abs(summary.median)
    # An interval as wide as the figure says only that too little was measured.
    return f"{text} ±{half:.1%}" if half < 1 else f"{text} ±>100%"


def _verdict(scenario: Scenario, verdicts: Sequence[Verdict]) -> Text:
    own = [verdict for verdict in verdicts if verdict.scenario_id == scenario.id]
    if not own:
        return Text("–")
    first = min(own, key=lambda verdict: URGENCY.index(verdict.kind))
    sign, style = SIGNS[first.kind]
    alike = [verdict.metric for verdict in own if verdict.kind is first.kind]
    named = first.kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.FAILED, VerdictKind.MISSING)
    return Text(f"{sign} {', '.join(alike)}" if named else sign, style=style)


def _left(event: events.Progress) -> str:
    """The time that remains; before the first block the budget is all that is known of it."""
    if event.remaining_s is None:
        return f"at most {_minutes(event.budget_left_s)} left"
    return f"{_minutes(event.remaining_s)} left"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _meaning(code: ExitCode, data: RunData) -> str:
    sentences = {
        ExitCode.OK: "nothing worse, every target met",
        ExitCode.WORSE: "a regression or a missed target",
        ExitCode.MEASUREMENT: "something could not be measured validly; what could be is stored",
        ExitCode.UNDECIDED: "no answer where --require asks for one",
        ExitCode.INTERRUPTED: "interrupted; finished blocks are stored",
    }
    partial = f" ({data.run.reason})" if data.run.status is RunStatus.PARTIAL else ""
    return f"exit code {int(code)}: {sentences.get(code, code.name)}{partial}"
