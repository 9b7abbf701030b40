"""Baseline files: their names and format, and writing them atomically, so that a kill never leaves a partial file."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.core import files
from harness.core.errors import BaselineError
from harness.core.names import slug

BASELINE_FORMAT: Final = 1
"""Version of the files. History: 1, the first."""

_READABLE: Final = 100  # characters of a file name that are for people; the digest after them keeps names apart
_RESERVED: Final = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}
"""Names that Windows treats as devices, regardless of what follows the first dot."""
_MACHINE_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,119}")
_RESTORE: Final = "restore it with `git checkout -- {file}`, or remove it and run `kokoro-bench baseline promote RUN`"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotedRun:
    """A promoted run: the data that comparisons with it need, and its subject for suspects.

    `date` is the start of the run, ISO 8601 in UTC. The canaries are medians in nanoseconds. `model` is the SHA-256.
    """

    id: str
    date: str
    corpus: str
    protocol: int
    selection: str = ""
    """The selection of the run. In a later run of the same selection, a scenario that is absent counts as missing."""
    canary_numpy_ns: float | None = None
    canary_graph_ns: float | None = None
    packages: tuple[tuple[str, str], ...] = ()
    revision: str = ""
    dirty: bool = False
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinePoint:
    """One baseline value: the median of `n` values of `launches` launches, in the metric's unit.

    `spread` is the standard deviation of the logs of the launches' medians; None for a single launch.
    """

    run: PromotedRun
    definition: int
    median: float
    n: int
    launches: int
    spread: float | None = None


Pairs = Mapping[str, tuple[BaselinePoint, ...]]
"""Metric → its points, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineFile:
    """The content of one file: the baseline values of one scenario on one machine."""

    machine_key: str
    scenario_id: str
    metrics: Pairs


class _Run(msgspec.Struct, forbid_unknown_fields=True):
    date: str
    corpus: str
    protocol: int
    canary_numpy_ns: float | None
    canary_graph_ns: float | None
    packages: dict[str, str]
    revision: str
    dirty: bool
    model: str
    selection: str = ""


class _Point(msgspec.Struct, forbid_unknown_fields=True):
    definition: int
    median: float
    n: int
    launches: int
    spread: float | None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    machine: str
    scenario: str
    runs: dict[str, _Run]
    metrics: dict[str, dict[str, _Point]]


def directory_of(root: Path, machine_key: str) -> Path:
    """The directory of a machine's files. Raises BaselineError for a key that is not a plain file name."""
    if not _MACHINE_KEY.fullmatch(machine_key):
        raise BaselineError(
            "cannot name a directory of baselines",
            where=repr(machine_key),
            remedy="a machine key has letters, digits and _ . + - only, 120 at most",
        )
    return root / machine_key


def file_name(scenario_id: str) -> str:
    """The name of the scenario's file: readable, different for every id, the same on every platform.

    File systems may ignore case, forbid characters and limit length. The digest distinguishes ids despite this.
    """
    readable = slug(scenario_id.replace("/", "--"))[:_READABLE]
    if readable.split(".")[0].upper() in _RESERVED:
        readable = f"_{readable}"
    digest = hashlib.sha256(scenario_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{readable}-{digest}.json"


def render(content: BaselineFile) -> bytes:
    """The content of the file: sorted, one line per fact, for readable reviews. ASCII, ends with a newline."""
    ordered = {
        metric: sorted(points, key=lambda point: (point.run.date, point.run.id))
        for metric, points in sorted(content.metrics.items())
    }
    runs = {point.run.id: point.run for points in ordered.values() for point in points}
    by_date = sorted(runs.values(), key=lambda run: (run.date, run.id))
    metrics = [
        f"    {_json(metric)}: {{\n{_lines([(point.run.id, _point(point)) for point in points], indent=6)}\n    }}"
        for metric, points in ordered.items()
    ]
    text = (
        "{\n"
        f'  "format": {BASELINE_FORMAT},\n'
        f'  "machine": {_json(content.machine_key)},\n'
        f'  "scenario": {_json(content.scenario_id)},\n'
        f'  "runs": {{\n{_lines([(run.id, _run(run)) for run in by_date], indent=4)}\n  }},\n'
        '  "metrics": {\n' + ",\n".join(metrics) + "\n  }\n}\n"
    )
    return text.encode("ascii")


def parse(file: Path, *, machine_key: str) -> BaselineFile:
    """The content of `file`. Raises BaselineError with line and column, or with the part that does not belong there."""
    plain = _read(file)
    if plain.get("format") != BASELINE_FORMAT:
        raise BaselineError(
            f"has the format {plain.get('format')!r}, and this kokoro-bench reads {BASELINE_FORMAT}",
            where=str(file),
            remedy="pip install --upgrade kokoro-bench, or promote the runs again",
        )
    try:
        raw = msgspec.convert(plain, type=_File)
        metrics = {metric: _points(raw, points) for metric, points in raw.metrics.items()}
    except (msgspec.ValidationError, _UnknownRunError) as error:
        raise BaselineError(f"is no baseline ({error})", where=str(file), remedy=_RESTORE.format(file=file)) from error
    if raw.machine != machine_key:
        raise BaselineError(
            f"is of another machine ({raw.machine}), whose figures do not compare with this one's ({machine_key})",
            where=str(file),
            remedy=f"move it to {file.parent.with_name(raw.machine)}, or remove it",
        )
    if file.name != file_name(raw.scenario):
        raise BaselineError(
            f"is of the scenario {raw.scenario}, whose file has another name",
            where=str(file),
            remedy=f"rename it to {file_name(raw.scenario)}, or remove it",
        )
    return BaselineFile(machine_key=raw.machine, scenario_id=raw.scenario, metrics=metrics)


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write all files, or none if the disk is full. Raises BaselineError if a file cannot be written."""
    try:
        files.write_all(contents)
    except OSError as error:
        raise BaselineError(
            f"the baseline cannot be written ({error.strerror or error})",
            where=str(error.filename or ""),
            remedy="make the directory writable and see that the disk has space, then promote again",
        ) from error


def _read(file: Path) -> dict[str, Any]:
    where, remedy = str(file), _RESTORE.format(file=file)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BaselineError(f"is not UTF-8 text (byte {error.start})", where=where, remedy=remedy) from error
    except OSError as error:
        raise BaselineError(f"cannot be read ({error.strerror})", where=where, remedy="make it readable") from error
    try:
        plain = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        what = f"has a syntax error: {error.msg}"
        if re.search(r"^(<<<<<<<|=======|>>>>>>>)", text, flags=re.MULTILINE):
            what = "holds an unresolved merge conflict"
        raise BaselineError(what, where=f"{file}:{error.lineno}:{error.colno}", remedy=remedy) from error
    except (_RepeatedKeyError, _NoFigureError, RecursionError) as error:
        raise BaselineError(f"is no baseline ({error})", where=where, remedy=remedy) from error
    if not isinstance(plain, dict):
        raise BaselineError("is no baseline (not an object)", where=where, remedy=remedy)
    return plain


class _RepeatedKeyError(ValueError):
    """A key occurs twice, for example after a merge. JSON readers would silently take the last one."""


class _NoFigureError(ValueError):
    """NaN or an infinity. JSON does not have them, but Python's reader accepts them."""


class _UnknownRunError(ValueError):
    """A value of a run that the file does not describe."""


def _without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(f"the key {key!r} stands twice")
        found[key] = value
    return found


def _refuse_constant(text: str) -> None:
    raise _NoFigureError(f"{text} is no figure")


def _points(raw: _File, points: Mapping[str, _Point]) -> tuple[BaselinePoint, ...]:
    found = []
    for run_id, point in points.items():
        run = raw.runs.get(run_id)
        if run is None:
            raise _UnknownRunError(f"the run {run_id!r} is not described under `runs`")
        described = msgspec.structs.asdict(run) | {"packages": tuple(sorted(run.packages.items()))}
        found.append(BaselinePoint(run=PromotedRun(id=run_id, **described), **msgspec.structs.asdict(point)))
    return tuple(sorted(found, key=lambda point: (point.run.date, point.run.id)))


def _run(run: PromotedRun) -> dict[str, Any]:
    plain = {name: getattr(run, name) for name in _Run.__struct_fields__}
    return plain | {"packages": dict(run.packages)}


def _point(point: BaselinePoint) -> dict[str, Any]:
    return {name: getattr(point, name) for name in _Point.__struct_fields__}


def _lines(items: Iterable[tuple[str, Mapping[str, Any]]], *, indent: int) -> str:
    return ",\n".join(f"{' ' * indent}{_json(key)}: {_json(value)}" for key, value in items)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
