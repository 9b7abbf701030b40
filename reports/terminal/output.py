"""What a person sees in the terminal: progress while it measures, then results, verdicts and where the report lies."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.conclude import without_interval
from harness.analysis.explain import explained, suspect_lines
from harness.analysis.finished import Finished
from harness.analysis.messages import percent, span, unsigned
from harness.core.errors import ExitCode
from harness.core.records.repetition import Outcome
from harness.core.records.run import RunData, RunRecord, RunStatus
from harness.core.records.scenario import Arm
from harness.core.records.verdict import SPEECH_VERDICT, Shown, TargetKind, Verdict, VerdictKind
from harness.metrics.registry import METRICS
from reports.terminal.console import make_console, tell
from reports.terminal.plain_table import PlainTable
from reports.terminal.run_table import SIGNS, WIDE, results_table
from reports.text.format import visible
from reports.text.leniency import lenient_sentences
from reports.views.arms import ArmLine, arms, cell
from reports.views.headline import headline


def print_outcome(finished: Finished, *, notes: Sequence[str] = (), console: Console | None = None) -> None:
    """The whole outcome: tables, what was not measured, headline, notes, and what the exit code means."""
    console = console or make_console()
    data = finished.data
    console.print()
    console.print(results_table(data, width=console.width))
    if beside := arm_table(data, wide=console.width >= WIDE):
        console.print(beside)
    for line in failures(data):
        tell(console, line, "yellow")
    for line in speech_findings(data):
        tell(console, line, "yellow")
    for line, decides in missed_targets(data).items():
        tell(console, line, "red" if decides else "yellow")
    for line, fails in lenient_sentences(data.verdicts).items():
        tell(console, line, "red" if fails else "yellow")
    tell(console, _headline(data), "bold")
    if data.run.status is RunStatus.COMPLETE and data.run.reason:
        tell(console, f"measuring ended: {data.run.reason}", "dim")
    for note in (*data.run.notes, *notes):
        if note not in _headline(data):
            tell(console, note)
    tell(console, _meaning(finished.code, data), "dim")


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
    pairs = len(data.counted.blocks)
    counted = "1 pair" if pairs == 1 else f"{pairs} pairs"
    tell(console, f"Duel {data.run.id}: {' against '.join(sides)}, {counted} of each text")
    table = PlainTable("text", "metric", "change", "interval", "verdict", "could have seen")
    texts = {scenario.id: scenario.text_class for scenario in data.run.scenarios}
    for verdict in data.verdicts:
        sign, style = SIGNS[verdict.shown_as]
        change, seen = verdict.change, verdict.detectable
        table.add_row(
            texts[verdict.scenario_id],
            verdict.metric,
            percent(change.point) if change else "–",
            span(change, between=" … ") if change else "–",
            Text(sign, style=style),
            unsigned(seen) if seen is not None else "–",
        )
    console.print(table)
    for verdict in data.verdicts:
        if verdict.kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.FAILED, VerdictKind.DIFFERENT):
            tell(console, f"{_label(verdict, texts)}: {explained(verdict, suspects=False)}")
    for line in suspect_lines(data.verdicts):
        tell(console, line)
    for line in (*_unsettled(data.verdicts, texts), *failures(data)):
        tell(console, line, "yellow")
    tell(console, _headline(data), "bold")
    for note in (*data.run.notes, *notes):
        tell(console, note)
    tell(console, _meaning(finished.code, data), "dim")


def _label(verdict: Verdict, texts: Mapping[str, str]) -> str:
    """The metric of a verdict; in a duel of several texts with the text, as in the table. `texts` is by scenario id."""
    text = texts[verdict.scenario_id]
    return verdict.metric if set(texts.values()) == {text} else f"{text} {verdict.metric}".lstrip()


def _unsettled(verdicts: Sequence[Verdict], texts: Mapping[str, str]) -> list[str]:
    """Advice for inconclusive verdicts; metrics with the same advice share a line."""
    shown: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.kind is VerdictKind.INCONCLUSIVE and verdict.advice:
            shown.setdefault(verdict.advice, []).append(_label(verdict, texts))
    return [f"{', '.join(dict.fromkeys(metrics))}: {advice}" for advice, metrics in shown.items()]


def _side(shown: str, arm: Arm, run: RunRecord) -> str:
    """An arm as the user wrote it, with its revision or source if that is not obvious."""
    if arm.source:
        return f"{shown} ({visible(arm.source)})"
    if arm.revision:
        return shown if arm.revision in shown else f"{shown} (revision {arm.revision})"
    return f"{shown} (work tree with uncommitted changes)" if run.subject.dirty and not arm.url else shown


def print_run(data: RunData) -> None:
    """A stored run: table, every verdict with its reason, failures with the end of their stderr.

    Metrics of a scenario that have the same verdict for the same reason share a line.
    """
    console = make_console()
    console.print(results_table(data, width=console.width))
    tell(console, _headline(data), "bold")
    alike: dict[tuple[str, Shown, str], list[str]] = {}
    for verdict in data.verdicts:
        words = explained(verdict, suspects=False)
        alike.setdefault((verdict.scenario_id, verdict.shown_as, words), []).append(verdict.metric)
    for (scenario_id, shown_as, words), metrics in alike.items():
        sign, style = SIGNS[shown_as]
        tell(console, f"{sign}  {scenario_id}  {', '.join(metrics)}: {words}", style)
    for line in suspect_lines(data.verdicts):
        tell(console, line)
    for line in (*missed_targets(data), *failures(data)):
        tell(console, line, "yellow")
    for note in data.run.notes:
        tell(console, note)
    outcomes = [launch.outcome for launch in data.launches]
    outcomes += [repetition.outcome for repetition in data.repetitions]
    for tail in dict.fromkeys(outcome.stderr_tail for outcome in outcomes if outcome.stderr_tail):
        console.print(Text(f"end of the worker's stderr:\n{tail}", style="dim"), soft_wrap=True)


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


def speech_findings(data: RunData) -> list[str]:
    """One line for each scenario whose speech is broken or different, with the reason."""
    return [
        f"{verdict.scenario_id}: {verdict.reason}"
        for verdict in data.verdicts
        if verdict.metric == SPEECH_VERDICT and verdict.kind is not VerdictKind.UNCHANGED
    ]


def missed_targets(data: RunData) -> dict[str, bool]:
    """A line for each target that was missed (True), and for each built-in one that was not met (False)."""
    alone = without_interval(data)
    return {
        f"target {target.kind}: {target.scenario_id}: "
        f"{target.metric} {METRICS[target.metric].format(target.observed.value)}, "
        f"limit {METRICS[target.metric].format(target.limit)}"
        + (f"; {alone[key]}" if (key := (target.scenario_id, target.metric)) in alone else "")
        + (" (built-in, does not decide the exit code)" if target.kind is TargetKind.UNMET else ""): (
            target.kind is TargetKind.MISSED
        )
        for target in data.targets
        if target.kind in (TargetKind.MISSED, TargetKind.UNMET) and target.observed.value is not None
    }


def _headline(data: RunData) -> str:
    """The report's own sentence: terminal and page never say two things."""
    shown = headline(data)
    return " ".join(part for part in (shown.sentence, shown.detail, shown.status) if part)


AFTER_MEASURING = MappingProxyType({
    ExitCode.USAGE: "an output could not be written; what was measured is stored",
    ExitCode.INTERNAL: "an error after the measurement, which is stored",
})  # fmt: skip
"""What a command says of its exit code where all was well until its results had to be written."""


def _meaning(code: ExitCode, data: RunData) -> str:
    lenient = any(verdict.leniency for verdict in data.verdicts)
    unmet = any(target.kind is TargetKind.UNMET for target in data.targets)
    worse = "nothing worse but what is waived or informs" if lenient else "nothing worse"
    sentences = {
        **AFTER_MEASURING,
        ExitCode.OK: f"{worse}, no target missed{' that decides it' if unmet else ''}",
        ExitCode.WORSE: "a regression or a missed target",
        ExitCode.MEASUREMENT: "something could not be measured validly; what could be is stored",
        ExitCode.UNDECIDED: "no answer where --require asks for one",
        ExitCode.INTERRUPTED: "interrupted; finished blocks are stored",
    }
    failed = [verdict for verdict in data.verdicts if verdict.kind is VerdictKind.FAILED]
    if failed and all(verdict.metric == SPEECH_VERDICT for verdict in failed):
        sentences[ExitCode.MEASUREMENT] = "speech is broken; what was measured is stored"
    partial = f" ({data.run.reason})" if data.run.status is RunStatus.PARTIAL else ""
    return f"exit code {int(code)}: {sentences.get(code, code.name)}{partial}"


COLUMNS = ("model_size", "load_time", "latency", "change", "speech", "rtf", "rss_peak", "mcd", "duration_ratio")
"""Of the report's columns those that a terminal has room for."""
NARROW = ("model_size", "load_time", "change", "speech", "rtf", "rss_peak", "mcd")
HEADS = {
    "model_size": "size",
    "load_time": "load",
    "change": "change *",
    "rss_peak": "peak",
    "mcd": "mcd *",
    "duration_ratio": "duration *",
}

HEAD, TAIL = 32, 64
"""Characters of a long reason that are shown: what it is stands at the beginning, why at the end."""


def arm_table(data: RunData, *, wide: bool) -> Table | None:
    """One line per combination that spoke the run's commonest text; None where there is but one."""
    found = arms(data)
    if len(found.lines) < 2:
        return None
    shown = [name for name in (COLUMNS if wide else NARROW) if name in found.columns]
    table = PlainTable(title=f"Side by side: {found.request} (* against {found.reference}; the change pair by pair)")
    table.add_column("combination", overflow="fold", min_width=20)
    for name in shown:
        table.add_column(HEADS.get(name, name), justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    for line in found.lines:
        table.add_row(line.id, *(cell(line, name) for name in shown), _remark(line))
    return table


def _remark(line: ArmLine) -> Text:
    """One line: of a long reason its beginning and its end; the failures below the tables have it whole."""
    text = line.remark
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD].rstrip()} … {text[-TAIL:].lstrip()}"
    return Text(text, style="yellow")
