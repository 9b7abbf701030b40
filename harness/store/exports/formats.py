"""A run in the forms that other tools read. Every form returns bytes; only the caller writes."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from harness.core.errors import StoreError, UsageError, nearest
from harness.core.records.repetition import Block, Launch, Repetition
from harness.core.records.run import RunData, RunRecord
from harness.core.records.value import Reading
from harness.core.records.verdict import Summary, TargetResult, Verdict
from harness.core.redaction import published
from harness.store.earlier import as_of_now, without_self_comparisons
from harness.store.exports.junit import SentenceOf, to_junit
from harness.store.exports.openmetrics import UnitOf, named_with_unit, to_openmetrics
from harness.store.exports.pytest_benchmark import to_pytest_benchmark

NS_PER_S: Final = 1e9


def to_bencher(data: RunData, unit_of: UnitOf) -> bytes:
    """Bencher's metric format (BMF JSON), for `bencher run --adapter json --file FILE`.

    Scenario → measure → the median, with the ends of its interval where it has one.

    A measure is named after its metric and unit (`ttfa-seconds`), because a project of Bencher's has its own measures
    `latency`, in nanoseconds, and `throughput`, in operations per second. `latency` is written as that one is defined.
    """
    benchmarks: dict[str, dict[str, Any]] = {}
    for summary in data.summaries:
        if summary.median is None:
            continue
        unit = unit_of(summary.metric)
        benchmarks.setdefault(summary.scenario_id, {})[_measure(summary.metric, unit)] = _values(summary)
    return json.dumps(benchmarks, indent=2).encode() + b"\n"


def _measure(metric: str, unit: str) -> str:
    if metric == "latency":
        return metric
    name = f"audio_{metric}" if metric == "throughput" else metric
    return named_with_unit(name, unit).replace("_", "-")


def _values(summary: Summary) -> dict[str, float | None]:
    factor = NS_PER_S if summary.metric == "latency" else 1.0
    found = {"value": summary.median}
    if summary.interval is not None:
        found |= {"lower_value": summary.interval.low, "upper_value": summary.interval.high}
    return {name: value * factor for name, value in found.items() if value is not None}


FiguresOf = Callable[[Repetition], Mapping[str, Reading]]
"""What was derived from a repetition: metric → reading, in the metric's unit."""

JSONL_FORMAT: Final = 1
"""Version of the JSON lines. History: 1, the first."""

_CELLS: Final[Mapping[str, Callable[[Repetition], object]]] = {
    "scenario": lambda each: each.scenario_id,
    "launch": lambda each: each.launch,
    "block": lambda each: each.block,
    "position": lambda each: each.position,
    "phase": lambda each: each.phase.value,
    "variant": lambda each: each.variant,
    "characters": lambda each: each.characters,
    "started_at": lambda each: each.started_at,  # seconds since the epoch
    "outcome": lambda each: each.outcome.kind.value,
    "reason": lambda each: each.outcome.reason,
    "disturbed": lambda each: ";".join(each.disturbance.marks),  # the limits that were exceeded
    # Nanoseconds since the intended start, like all that end in _ns but cpu_ns, which is a duration.
    "end_ns": lambda each: each.end_ns,
    "first_byte_ns": lambda each: each.first_byte_ns,
    "cpu_ns": lambda each: each.cpu_ns,
    "chunks": lambda each: len(each.chunks),
    "first_chunk_ns": lambda each: each.chunks[0].at_ns if each.chunks else None,
    "frames": lambda each: each.audio.frames if each.audio else None,
    "sample_rate": lambda each: each.audio.sample_rate if each.audio else None,
    "audio_sha256": lambda each: each.audio.sha256 if each.audio else None,
    "rss_before": lambda each: each.memory.rss_before,  # bytes, like the two that follow
    "rss_after": lambda each: each.memory.rss_after,
    "rss_peak": lambda each: each.memory.peak,
}
CSV_COLUMNS: Final = ("run", *_CELLS)
"""The columns of the CSV form. One column per metric follows, in the metric's unit; an empty cell is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What a form takes besides the records, from the definitions of metrics and from the analysis.

    The defaults are for an export of what was observed alone.
    """

    figures_of: FiguresOf = lambda _repetition: {}
    """Fills the metrics' columns of the CSV."""
    unit_of: UnitOf = lambda _metric: ""
    sentence_of: SentenceOf = lambda verdict: verdict.reason or verdict.kind.value


def export(data: RunData, form: str, derived: Derived | None = None) -> bytes:
    """The run in `form`, one of `FORMS`; UsageError for another.

    Without the user's folders, and without which process it was: that says something on its own machine alone, and
    would make two equal runs differ.
    """
    if form not in FORMS:
        raise UsageError("this form of export is not known", where=form, remedy=nearest(form, FORMS))
    return _WRITERS[form](published(data), derived or Derived())


def _to_csv(data: RunData, derived: Derived) -> bytes:
    """RFC 4180: a header, one line per repetition, CRLF, quotes where needed; UTF-8."""
    import pandas as pd

    cells = [
        {"run": data.run.id, **{name: cell(repetition) for name, cell in _CELLS.items()}}
        for repetition in data.repetitions
    ]
    figures = [
        {name: reading.value for name, reading in derived.figures_of(repetition).items()}
        for repetition in data.repetitions
    ]
    # As objects: a column of whole numbers with unknown ones among them would become one of floats.
    observed = pd.DataFrame(cells, columns=list(CSV_COLUMNS), dtype=object)
    metrics = pd.DataFrame(figures, index=observed.index, dtype=object)
    return observed.join(metrics).to_csv(index=False, lineterminator="\r\n").encode()


def _to_jsonl(data: RunData, _derived: Derived) -> bytes:
    """One record a line: the run, what was observed, what was concluded, and a last line with their number."""
    records: list[tuple[str, object]] = [("run", data.run)]
    for kind, name in LINE_KINDS.items():
        records += [(kind, record) for record in getattr(data, name)]
    lines: list[dict[str, object]] = [
        {"kind": kind, "format": JSONL_FORMAT, "record": record} for kind, record in records
    ]
    lines.append({"kind": "end", "format": JSONL_FORMAT, "records": len(records)})
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


LINE_KINDS: Final = {
    "launch": "launches",
    "block": "blocks",
    "repetition": "repetitions",
    "summary": "summaries",
    "verdict": "verdicts",
    "target": "targets",
}
"""Kind of a JSON line → where its record stands in `RunData`, in the order of the lines."""

_WRITERS: Final[dict[str, Callable[[RunData, Derived], bytes]]] = {
    "pytest-benchmark": lambda data, _derived: to_pytest_benchmark(data),
    "csv": _to_csv,
    "jsonl": _to_jsonl,
    "bencher": lambda data, derived: to_bencher(data, derived.unit_of),
    "openmetrics": lambda data, derived: to_openmetrics(data, derived.unit_of),
    "junit": lambda data, derived: to_junit(data, derived.sentence_of),
}

FORMS: Final = tuple(_WRITERS)


_TYPES: Final[dict[str, type[Any]]] = {
    "run": RunRecord,
    "launch": Launch,
    "block": Block,
    "repetition": Repetition,
    "summary": Summary,
    "verdict": Verdict,
    "target": TargetResult,
}
_REMEDY: Final = "export the run again: kokoro-bench runs export RUN --format jsonl"


class _Line(msgspec.Struct):
    kind: str
    format: int
    record: msgspec.Raw = msgspec.Raw(b"null")
    records: int = 0


def read_jsonl(lines: Iterable[bytes], *, where: str = "") -> RunData:
    """The run in `lines`, equal to the one exported; StoreError with the line where it is damaged or cut short.

    No line after a damaged one is read. `where` names the file for the message.
    """
    found: dict[str, list[Any]] = {kind: [] for kind in _TYPES}
    count = 0
    end: int | None = None
    for number, text in enumerate(lines, start=1):
        place = f"{where}, line {number}" if where else f"line {number}"
        line = _line(text, place)
        if line.kind == "end":
            end = line.records
            break
        found[line.kind].append(_record(line, place))
        count += 1
    if end != count or len(found["run"]) != 1:
        expected = "one run with its records and a last line that counts them"
        raise StoreError(f"is cut short or joined of several: expected {expected}", where=where, remedy=_REMEDY)
    [run] = found["run"]
    found["summary"] = list(without_self_comparisons(found["summary"], run.scenarios))
    found["verdict"] = list(as_of_now(found["verdict"]))
    return RunData(run=run, **{name: tuple(found[kind]) for kind, name in LINE_KINDS.items()})


def _line(text: bytes, place: str) -> _Line:
    try:
        line = msgspec.json.decode(text, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"is no line of an exported run ({error})", where=place, remedy=_REMEDY) from error
    if line.format > JSONL_FORMAT:
        raise StoreError(
            f"was written by a newer kokoro-bench (format {line.format}, this one reads {JSONL_FORMAT})",
            where=place,
            remedy="pip install --upgrade kokoro-bench",
        )
    if line.kind not in (*_TYPES, "end"):
        raise StoreError(f"has the unknown kind {line.kind!r}", where=place, remedy=_REMEDY)
    return line


def _record(line: _Line, place: str) -> object:
    try:
        record: object = msgspec.json.decode(line.record, type=_TYPES[line.kind])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"is no {line.kind} ({error})", where=place, remedy=_REMEDY) from error
    return record
