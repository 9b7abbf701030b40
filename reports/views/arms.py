"""The table of a run's arms: speed, size, memory, start-up and audio similarity, as formatted strings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from harness.analysis.audio_limits import counterpart_of
from harness.core.errors import MeasurementError
from harness.core.records.run import RunData
from harness.core.records.scenario import DEQUANTISED, Arm, Mode, ModelVariant, Scenario, reference_of
from harness.core.records.verdict import SPEECH_VERDICT, VerdictKind
from harness.metrics.derive import RunValues
from harness.metrics.registry import METRICS
from harness.metrics.start_up import launch_figures
from harness.metrics.values import Grouped, paired_log_ratios
from reports.text.format import NOTHING, Scale, arm_parts, change_of, metric_of, percent, request_parts, scale
from reports.text.naming import names_of
from reports.text.speech import WORD_ERRORS, speech_words, word_errors
from reports.views.pair_changes import pair_changes
from reports.views.speech import OF_TEXT, Badge, Speech

SOUNDS = ("lsd", "mcd", "duration_ratio")
SPOKEN = ("latency", "rtf", "cpu_per_audio", "rss_peak", *OF_TEXT, *SOUNDS)
"""Metrics of one text."""
ITSELF = {"lsd": "lsd_itself", "mcd": "mcd_itself"}
"""Audio similarity metric → the same metric between two syntheses of one model, for comparison."""
CHANGE = "change"
FIGURES = ("model_size", "load_time", "latency", CHANGE, SPEECH_VERDICT, *SPOKEN[1:])
"""Columns, in order. `change` is the change of the latency relative to the reference, pair by pair; `speech` a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLine:
    """One arm. `figures`: column → value, if known. `remark` says why values are missing, or what is wrong.

    `badge` is the verdict on its speech, None if that was not compared.
    """

    id: str
    name: str
    origin: str
    figures: Mapping[str, str]
    remark: str
    badge: Badge | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """All arms of a run that have one common text, including those that failed."""

    columns: Mapping[str, str]
    """Column → its title; only columns in which an arm has a value."""
    lines: tuple[ArmLine, ...]
    request: str
    reference: str
    recommendation: str
    basis: str

    @property
    def speech_columns(self) -> Mapping[str, str]:
        """Those of `columns` on sound and speech, where speech was judged: they have a table of their own."""
        if not self.columns.keys() & set(OF_TEXT) and not any(line.badge for line in self.lines):
            return {}
        return {name: title for name, title in self.columns.items() if name in (*OF_TEXT, *SOUNDS)}

    @property
    def speed_columns(self) -> Mapping[str, str]:
        """The rest of `columns`."""
        return {name: title for name, title in self.columns.items() if name not in self.speech_columns}


def arms(data: RunData, values: RunValues | None = None, *, speech: Speech | None = None) -> Arms:
    """The arms of a run for the text that most of them have, in the order of the run.

    `values` saves deriving the run's values again; `speech` is what is known of the run's speech.
    """
    known = values or RunValues(data)
    speech = speech or Speech(data)
    spoken = _common(data.run.scenarios)
    held_against = references_of(data)
    # The verdicts of a duel name the reference. In other runs it is the plainest arm.
    reference = next((each for each in spoken if each.arm.id in held_against), None) or reference_of(spoken)
    changes = _changes(spoken, reference, known)
    shown = {each.id: _numbers(each, changes.get(each.id), known) for each in spoken}
    scales = {
        name: scale(name, [found[name] for found in shown.values() if name in found])
        for name in (*FIGURES, *ITSELF.values())
        if name in METRICS
    }
    named = names_of(data)
    names = {each.id: named.of(each.id).arm or " · ".join(arm_parts(each)) for each in spoken}
    others = {each.id: counterpart_of(each, data.run.scenarios, references=held_against) for each in spoken}
    lines = tuple(
        _line(
            each,
            names[each.id],
            shown[each.id],
            scales,
            data,
            beside=_beside(others[each.id], reference, names),
            badge=speech.badge(each.id),
        )
        for each in spoken
    )
    columns = {name: _title(name) for name in FIGURES if any(name in line.figures for line in lines)}
    request = ", ".join(request_parts(spoken[0])[:2]) if spoken else ""
    against = f" The change is against {names[reference.id]}, from pairs." if reference else ""
    if reference and columns.keys() & set(SOUNDS):
        against += (
            f" Audio differences are against {names[reference.id]} too, unless noted; “itself” is one model with "
            "two seeds."
        )
    return Arms(
        columns=columns,
        lines=lines,
        request=request,
        reference=reference.arm.id if reference else "",
        recommendation=(
            "For a recommendation with intervals, run `kokoro-bench recommend`."
            if columns.keys() & set(SOUNDS)
            else "No recommendation: the sound of the variants was not compared in this run; speed alone is no reason."
        ),
        basis=f"Medians of {request} in run {data.run.id}; starts with the file in the page cache.{against}",
    )


def references_of(data: RunData) -> frozenset[str]:
    """The arms that the verdicts of a run name as reference. Only verdicts of duels do."""
    return frozenset(verdict.reference for verdict in data.verdicts)


def _beside(other: Scenario | None, reference: Scenario | None, names: Mapping[str, str]) -> str:
    """A note that names what an audio similarity metric was compared with, if not with the table's reference."""
    if other is None or (reference is not None and other.id == reference.id):
        return ""
    return f" (against {names.get(other.id) or ' · '.join(arm_parts(other))})"


def _common(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """The scenarios of the text that most arms have; if several texts qualify, of the last one."""
    alike: dict[tuple[object, ...], dict[Arm, Scenario]] = {}
    for each in scenarios:
        if each.mode in (Mode.WHOLE, Mode.STREAM) and each.speed == 1.0 and each.concurrency == 1:
            alike.setdefault((each.mode, each.text_class, each.variant, each.voice), {})[each.arm] = each
    most = max(map(len, alike.values()), default=0)
    found = [list(group.values()) for group in alike.values() if len(group) == most]
    return found[-1] if found else []


def _numbers(scenario: Scenario, change: float | None, known: RunValues) -> dict[str, float]:
    """Metric → value of a scenario and its arm, in the metric's unit. `change` is that of its latency, if known."""
    data = known.data
    own, arm = scenario.id, scenario.arm.id  # computed at each access
    found = {
        each.metric: each.median
        for each in data.summaries
        if each.scenario_id == own and each.metric in (*SPOKEN, *ITSELF.values()) and each.median is not None
    }
    model = scenario.arm.model
    if model and model.size:
        found["model_size"] = float(model.size)
    starts = [
        start
        for each in data.launches
        if each.arm_id == arm and each.page_cache == "warm" and each.outcome.valid
        if (start := launch_figures(each)["load_time"].value) is not None
    ]
    if starts:
        found["load_time"] = median(starts)
    if change is not None:
        found[CHANGE] = change
    return found


def _changes(spoken: Sequence[Scenario], reference: Scenario | None, known: RunValues) -> dict[str, float]:
    """Scenario id → the change of its latency: that of a duel's verdict, otherwise the estimate of its pairs."""
    if reference is None:
        return {}
    sheets = dict[str, Grouped]()
    for each in spoken:
        if each.id != reference.id:
            try:
                sheets[each.id] = paired_log_ratios(known.of(each)["latency"], known.of(reference)["latency"])
            except MeasurementError:
                continue
    found = zip(sheets, pair_changes(list(sheets.values())), strict=True)
    return {scenario_id: change.point for scenario_id, change in found if change is not None} | {
        each.scenario_id: change_of(each.change.point)
        for each in known.data.verdicts
        if each.metric == "latency" and each.reference == reference.arm.id and each.change is not None
    }


def _line(
    scenario: Scenario,
    name: str,
    found: Mapping[str, float],
    scales: Mapping[str, Scale],
    data: RunData,
    *,
    beside: str,
    badge: Badge | None,
) -> ArmLine:
    model = scenario.arm.model
    figures = {name: scales[name].full(value) if name in scales else percent(value) for name, value in found.items()}
    for each in SOUNDS:
        if each in figures:
            figures[each] += beside
        elif ITSELF.get(each) in figures:
            figures[each] = f"{figures[ITSELF[each]]} (itself)"
    if WORD_ERRORS in figures:
        figures[WORD_ERRORS] = word_errors(data).get(scenario.id, figures[WORD_ERRORS])
    if word := speech_words(data).get(scenario.id):
        figures[SPEECH_VERDICT] = word
    return ArmLine(
        id=scenario.arm.id,
        name=name,
        origin=_origin(model) if model else scenario.arm.engine,
        figures=figures,
        remark=_remark(scenario, data),
        badge=badge,
    )


def _origin(model: ModelVariant) -> str:
    """The origin of a model and its quantisation recipe. The settings of a replica are in its name."""
    if model.origin == DEQUANTISED:
        return "dequantised from 8 bits"  # the recipe is a sentence
    if not model.sha256:
        return NOTHING
    made = "" if "=" in model.recipe else model.recipe
    return ", ".join(part for part in (model.origin, made) if part)


def _remark(scenario: Scenario, data: RunData) -> str:
    """Why the arm has no values, or what is wrong with them; "" if nothing is."""
    own, arm = scenario.id, scenario.arm.id
    failed = [each for each in data.verdicts if each.scenario_id == own and each.kind is VerdictKind.FAILED]
    wrong = next((each for each in failed if each.metric in (*SOUNDS, SPEECH_VERDICT)), None)
    if wrong is not None:
        return wrong.reason
    lost = [each.outcome for each in data.launches if each.arm_id == arm]
    lost += [each.outcome for each in data.repetitions if each.scenario_id == own]
    outcome = next((each for each in lost if not each.valid), None)
    if outcome is not None:
        return f"{outcome.kind.value}: {outcome.reason}"
    return failed[0].reason if failed else ""


def _title(column: str) -> str:
    return "Latency, change" if column == CHANGE else metric_of(column).title


def cell(line: ArmLine, column: str) -> str:
    """A value of a line, or a dash."""
    return line.figures.get(column, NOTHING)
