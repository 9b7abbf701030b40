"""What a job of continuous integration makes of a duel: annotations, and an exit code that a required check can use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.core.errors import ExitCode, StoreError

MOST: Final = 10
"""The number of annotations of one level that GitHub shows of a step."""
TITLE: Final = "kokoro-bench"
READ_FORMAT: Final = 1
"""The newest version of the JSON of a duel that this module reads."""


class Level(StrEnum):
    """How an annotation is shown."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One line beside a pull request."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """What the job shows, and the code that it ends with."""

    annotations: tuple[Annotation, ...]
    code: ExitCode


class _Verdict(msgspec.Struct):
    scenario_id: str
    metric: str
    shown_as: str
    fails: bool
    sentence: str


class _Result(msgspec.Struct):
    format: int
    exit_code: int
    headline: str
    verdicts: list[_Verdict]


def read_result(file: Path) -> _Result | None:
    """The result that `duel --json` wrote; None where it wrote none. StoreError for anything else."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if not content.strip():
        return None
    remedy = "give it the output of kokoro-bench duel … --json"
    try:
        found = msgspec.json.decode(content, type=_Result)
    except msgspec.MsgspecError as error:
        raise StoreError(f"is no result of a duel ({error})", where=str(file), remedy=remedy) from error
    if found.exit_code not in set(ExitCode):
        raise StoreError(f"has the exit code {found.exit_code}, which no duel has", where=str(file), remedy=remedy)
    if found.format > READ_FORMAT:
        raise StoreError("was written by a newer kokoro-bench", where=str(file), remedy=remedy)
    return found


def gate(result: _Result | None, *, strict: bool) -> Gated:
    """Only a regression, or a missed target, fails the job; with `strict`, everything but a clean result does."""
    if result is None:
        lost = Annotation(level=Level.WARNING, text="the duel gave no result: its log says why. Nothing was compared.")
        return Gated(annotations=(lost,), code=ExitCode.MEASUREMENT if strict else ExitCode.OK)
    worse = result.exit_code == ExitCode.WORSE
    headline = Annotation(level=_level(result.exit_code), text=result.headline)
    found = [headline, *_verdicts(result.verdicts)]
    if not worse and result.exit_code:
        sentence = f"the duel ended with exit code {result.exit_code}, which is no regression"
        found.append(Annotation(level=Level.WARNING, text=sentence))
    code = ExitCode(result.exit_code) if worse or strict else ExitCode.OK
    return Gated(annotations=tuple(found), code=code)


def _level(exit_code: int) -> Level:
    if exit_code == ExitCode.WORSE:
        return Level.ERROR
    return Level.WARNING if exit_code else Level.NOTICE


def _verdicts(verdicts: Sequence[_Verdict]) -> Iterable[Annotation]:
    levels: Mapping[str, Level] = {"failed": Level.WARNING, "waived": Level.NOTICE, "informs": Level.NOTICE}
    shown = [
        Annotation(
            level=Level.ERROR if each.fails else levels[each.shown_as],
            text=f"{each.metric} of {each.scenario_id}: {each.sentence}",
        )
        for each in verdicts
        if each.fails or each.shown_as in levels
    ]
    # One is left for the headline, and one for what is left out.
    most = MOST - 2
    rest = len(shown) - most
    left_out = [Annotation(level=Level.NOTICE, text=f"… and {rest} more, in the report")] if rest > 0 else []
    return [*shown[:most], *left_out]


def github_line(annotation: Annotation) -> str:
    """An annotation as a command of GitHub's runner. Its text cannot begin another command."""
    escapes: dict[str, Any] = {"%": "%25", "\r": "%0D", "\n": "%0A"}
    text = annotation.text.translate(str.maketrans(escapes))
    return f"::{annotation.level.value} title={TITLE}::{text}"


def plain_line(annotation: Annotation) -> str:
    """An annotation as a line of a log."""
    return f"{annotation.level.value}: {' '.join(annotation.text.split())}"
