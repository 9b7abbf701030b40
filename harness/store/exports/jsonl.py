"""Reading back a run that was exported as JSON lines."""

from typing import Any, Final

import msgspec

from harness.core.errors import StoreError
from harness.core.records.repetition import Block, Launch, Repetition
from harness.core.records.run import RunData, RunRecord
from harness.core.records.verdict import Summary, TargetResult, Verdict
from harness.store.earlier import with_proven_suspects, without_self_comparisons
from harness.store.exports.formats import JSONL_FORMAT, LINE_KINDS

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


def read_jsonl(content: bytes, *, where: str = "") -> RunData:
    """The run in `content`, equal to the one exported; StoreError with the line where it is damaged or cut short.

    `where` names the file for the message.
    """
    found: dict[str, list[Any]] = {kind: [] for kind in _TYPES}
    count = 0
    end: int | None = None
    for number, text in enumerate(content.splitlines(), start=1):
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
    found["verdict"] = list(with_proven_suspects(found["verdict"]))
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
