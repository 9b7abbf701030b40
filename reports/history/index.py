"""The index of a site: what it keeps of each run, so that a new run is added without reading the old ones again."""

import hashlib
import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis.changepoints.chain import LinePoint, ratio_to_reference
from harness.analysis.changepoints.detect import ChangePoint
from harness.core.records.differences import differences
from harness.core.records.run import Concluded
from harness.core.records.verdict import Leniency, Shown, VerdictKind

if TYPE_CHECKING:
    from harness.store.rows import RunRow
    from reports.views.headline import Headline

INDEX_FORMAT = 10
"""Version of the format of the index; an index of another version is made anew.

History: 1, the first; 2, a run knows whether it calibrated the gate; 3, the steps of lines are kept; 4, those of
whole lines, as change points; 5, a run knows what was selected; 6, its medians are packed;
7, verdicts on a subject that did not change; 8, ratios to the accepted reference;
9, which accepted run they are to.
"""

FIRST = ord("!")
"""The character of the first accepted run."""

_LETTERS: dict[Shown, str] = {
    VerdictKind.REGRESSED: "R",
    VerdictKind.FAILED: "F",
    VerdictKind.MISSING: "M",
    VerdictKind.IMPROVED: "I",
    VerdictKind.INCONCLUSIVE: "U",
    VerdictKind.UNCHANGED: "=",
    VerdictKind.NO_BASELINE: "N",
    VerdictKind.INCOMPARABLE: "X",
    VerdictKind.DIFFERENT: "D",
    VerdictKind.SAME_SUBJECT: "S",
    Leniency.WAIVED: "W",
    Leniency.INFORMS: "i",
}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run in the index.

    `medians` (`packed`) and `kinds` (a letter each, a space for no verdict) are in the order of the keys of the index;
    they are shorter than the keys if keys were added later.
    """

    id: str
    fingerprint: str
    started_at: float
    machine: str
    selection: str
    status: str
    css: str
    glyph: str
    sentence: str
    subject: tuple[tuple[str, str], ...]
    medians: bytes
    kinds: str
    ratios: dict[int, float] = field(default_factory=dict)
    """Index of a key → log-ratio to the accepted reference, positive where the value rose, of pairs in that run."""
    accepted: tuple[str, ...] = ()
    """The accepted runs that verdicts of this run refer to."""
    accepted_of: str = ""
    """A character for each key, in their order: chr(`FIRST` + index in `accepted`), a space for none."""
    calibrated: bool = False
    """Whether it calibrated the gate, with an arm against itself or slowed on purpose. It is not about the subject."""

    @property
    def figures(self) -> Sequence[float]:
        """The medians; NaN for an unknown one."""
        return memoryview(self.medians).cast("d")

    def point(self, index: int, value: float | None) -> LinePoint:
        """The run on the line of the key at `index`, with its median there."""
        letter = self.accepted_of[index : index + 1]
        same = self.kinds[index : index + 1] == _LETTERS[VerdictKind.SAME_SUBJECT]
        return LinePoint(
            run_id=self.id,
            value=value,
            ratio=0.0 if same else self.ratios.get(index),
            accepted=self.accepted[ord(letter) - FIRST] if letter.strip() else "",
        )

    def kind(self, index: int) -> Shown | None:
        """The verdict of the key at `index`, as it is shown."""
        return _KINDS.get(self.kinds[index]) if index < len(self.kinds) else None


def _ratios(data: Concluded) -> Iterator[tuple[tuple[str, str], float]]:
    """(Scenario id, metric) and log-ratio of each verdict that pairs with the accepted reference decided."""
    for each in data.verdicts:
        ratio = ratio_to_reference(each)
        if ratio is not None and each.kind is not VerdictKind.SAME_SUBJECT:
            yield (each.scenario_id, each.metric), ratio


def packed(medians: Iterable[float | None]) -> bytes:
    """Medians as packed doubles, because a thousand runs have half a million of them."""
    return array("d", (math.nan if median is None else median for median in medians)).tobytes()


@dataclass(slots=True, kw_only=True)
class RunIndex:
    """All runs of a site by id. Their values are in the order of `keys`: (scenario id, metric), never removed."""

    code: str
    format: int = INDEX_FORMAT
    keys: list[tuple[str, str]] = field(default_factory=list)
    runs: dict[str, PastRun] = field(default_factory=dict)
    drawn_in_full: list[str] = field(default_factory=list)
    marks: str = ""
    steps: dict[str, tuple[ChangePoint, ...]] = field(default_factory=dict)
    """Digest of a series, or of its beginning whose steps are final → its steps."""
    alerts: dict[str, str] = field(default_factory=dict)
    """Key of an alert → fingerprint of its page."""

    def enter(self, data: Concluded, fingerprint: str, head: "Headline") -> PastRun:
        """Add a run, or replace it."""
        medians = {(each.scenario_id, each.metric): each.median for each in data.summaries if each.median is not None}
        kinds = {(each.scenario_id, each.metric): _LETTERS[each.shown_as] for each in data.verdicts}
        ratios = dict(_ratios(data))
        accepted = {(each.scenario_id, each.metric): each.accepted for each in data.verdicts if each.accepted}
        references = tuple(dict.fromkeys(accepted.values()))
        letters = {run_id: chr(FIRST + place) for place, run_id in enumerate(references)}
        known = set(self.keys)
        self.keys += [key for key in dict.fromkeys([*medians, *kinds]) if key not in known]
        past = PastRun(
            id=data.run.id,
            fingerprint=fingerprint,
            started_at=data.run.started_at,
            machine=data.run.machine.key,
            selection=data.run.selection,
            status=data.run.status.value,
            css=str(head.css),
            glyph=str(head.glyph),
            sentence=head.sentence,
            subject=(*data.run.subject.packages, ("Python", data.run.subject.python), *data.run.subject.models),
            medians=packed(medians.get(key) for key in self.keys),
            kinds="".join(kinds.get(key, " ") for key in self.keys),
            ratios={index: ratios[key] for index, key in enumerate(self.keys) if key in ratios},
            accepted=references,
            accepted_of="".join(letters.get(accepted.get(key, ""), " ") for key in self.keys) if accepted else "",
            calibrated=any(each.arm.slowdown or each.arm.side for each in data.run.scenarios),
        )
        self.runs[past.id] = past
        return past

    def take(self, other: "RunIndex") -> None:
        """Add all runs of another index, whose keys may be in another order."""
        places = {key: index for index, key in enumerate(other.keys)}
        known = set(self.keys)
        self.keys += [key for key in other.keys if key not in known]
        order = [places.get(key, -1) for key in self.keys]
        for run in other.runs.values():
            if order != list(range(len(order))):
                figures = run.figures
                medians = packed(figures[at] if 0 <= at < len(figures) else None for at in order)
                kinds = "".join(run.kinds[at] if 0 <= at < len(run.kinds) else " " for at in order)
                ratios = {index: run.ratios[at] for index, at in enumerate(order) if at in run.ratios}
                letters = "".join(run.accepted_of[at : at + 1] or " " if at >= 0 else " " for at in order).rstrip()
                run = replace(run, medians=medians, kinds=kinds, ratios=ratios, accepted_of=letters)  # noqa: PLW2901 - the same run in the order of these keys
            self.runs[run.id] = run

    def of_machine(self, machine: str) -> list[PastRun]:
        """The runs of one machine, oldest first, without calibrations unless there are no others."""
        every = [run for run in self.runs.values() if run.machine == machine]
        runs = [run for run in every if not run.calibrated] or every
        return sorted(runs, key=lambda run: (run.started_at, run.id))

    def scenarios_of(self, run: PastRun) -> set[str]:
        """The ids of the scenarios of which a run has a value or a verdict."""
        places = zip(self.keys, run.figures, run.kinds, strict=False)
        return {scenario_id for (scenario_id, _), median, kind in places if kind != " " or not math.isnan(median)}

    def knows(self, run: PastRun, metric: str) -> bool:
        places = zip(self.keys, run.figures, strict=False)
        return any(name == metric and not math.isnan(median) for (_, name), median in places)

    def newest_first(self) -> list[PastRun]:
        return sorted(self.runs.values(), key=lambda run: (run.started_at, run.id), reverse=True)


def comparable(run_index: RunIndex, newest: Sequence[str]) -> str | None:
    """The id of the newest run before `newest[0]` that has a value of a common key; None if there is none."""
    latest = run_index.runs[newest[0]].figures
    for run_id in newest[1:]:
        pairs = zip(latest, run_index.runs[run_id].figures, strict=False)
        if any(not math.isnan(ours) and not math.isnan(theirs) for ours, theirs in pairs):
            return run_id
    return None


def newest_with(run_index: RunIndex, machine: str, *, among: int) -> dict[str, str]:
    """Scenario id → the newest run with it, among that many newest runs of a machine. In the order of the keys."""
    every = dict.fromkeys(scenario_id for scenario_id, _ in run_index.keys)
    found: dict[str, str] = {}
    for run in reversed(run_index.of_machine(machine)[-among:]):
        found |= {each: run.id for each in run_index.scenarios_of(run) if each not in found}
        if len(found) == len(every):
            break
    return {scenario_id: found[scenario_id] for scenario_id in every if scenario_id in found}


def subject_changes(runs: Sequence[PastRun]) -> Iterator[tuple[int, str]]:
    """The changes of the subject: the index of the first run with a change, and what changed."""
    for index in range(1, len(runs)):
        if changed := differences(runs[index - 1].subject, runs[index].subject):
            short = (each._replace(before=each.before[:12], after=each.after[:12]) for each in changed)
            yield index, "; ".join(map(str, short))


def fingerprint(row: "RunRow") -> str:
    """A digest that changes with every write to the run."""
    return hashlib.sha256(repr(row).encode()).hexdigest()[:16]


def code_digest() -> str:
    """A digest of the code of the report and of all that it derives and advises by: if it changes, all is drawn again.

    It includes the byte order, because the medians of the index are packed.
    """
    here = Path(__file__).parents[1]
    digest = hashlib.sha256(sys.byteorder.encode())
    ours = [*here.rglob("*.py"), *here.glob("templates/*"), *here.glob("static/*")]
    theirs = [file for package in ("metrics", "analysis", "core/records") for file in _source(package).rglob("*.py")]
    theirs += [_source("core") / "redaction.py", _source("store") / "earlier.py"]  # what is shown of what was stored
    for file in sorted([*ours, *theirs]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _source(name: str) -> Path:
    """The folder of a package of the harness."""
    import harness

    return Path(harness.__path__[0]) / name


def read_index(path: Path, *, code: str) -> RunIndex:
    """The index of a site; an empty one if there is none that this version can use."""
    import msgspec

    try:
        run_index = index_of(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return RunIndex(code=code)
    return run_index if (run_index.format, run_index.code) == (INDEX_FORMAT, code) else RunIndex(code=code)


def index_bytes(run_index: RunIndex) -> bytes:
    """The stored form of an index."""
    import msgspec

    return msgspec.msgpack.encode(run_index)


def index_of(kept: bytes) -> RunIndex:
    """The index in `kept`, which `index_bytes` made. Raises msgspec.MsgspecError if it is damaged."""
    import msgspec

    return msgspec.msgpack.decode(kept, type=RunIndex)
