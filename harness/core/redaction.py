"""Records and texts without the user's folders, for everything that leaves the results store: pages, exports, messages.

What is kept in the store may hold paths: they help the user. What others read holds names of files alone. Reports,
exports, Markdown summaries, baselines and alerts take their records through here, and so runs that were stored by
earlier versions are clean as well.

- A path with a file at its end becomes the file's name; one without, which is a folder, becomes `…`.
- Below `site-packages` a path says which package it is of, and is kept from there on.
- Addresses (`http://…/v1/audio`) and paths of the system's own (`/proc/…`) and of HTTP interfaces (`/v1/…`) are kept.
"""

import re
from dataclasses import is_dataclass, replace
from enum import Enum
from functools import cache, lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_type_hints

from harness.core.crash_report import without_users
from harness.core.file_names import FOLDER, is_file_name, last_part, without_folder
from harness.core.records.repetition import Repetition
from harness.core.records.run import RunData, RunOutline, RunRecord
from harness.core.records.scenario import Arm, Scenario
from harness.core.records.verdict import Median

if TYPE_CHECKING:
    from collections.abc import Hashable

KEPT_ROOTS = ("v1", "v2", "api", "audio", "tts", "status", "health", "dev", "proc", "sys")
"""First parts of paths that name no folder of a user's: of HTTP interfaces, and of the system itself."""

IDS = ("id", "scenario_id", "arm_id", "metric", "reference", "order", "name", "method")
"""Fields by which records find one another, and names: made of slugs, of stems of files, and of nobody's folders."""

PACKAGE_PATH = "path:"
"""The start of a requirement that is the path of a package."""

FIGURES = (int, float, bool, NoneType)
"""Types of fields without text."""

_START = r"(?:~[\w.-]*[\\/]|\.{1,2}[\\/]|[A-Za-z]:[\\/]|\\\\|/)"
_WORD = r"[^\s/\\'\"`<>|:;,()\[\]{}]+"
_ENDED = r"\S*\.[A-Za-z][A-Za-z0-9]{1,6}\s"
"""A word with a file's ending: a path does not go on behind it."""
_PART = rf"(?:(?!{_ENDED}){_WORD} ){{0,3}}{_WORD}"
"""A part of a path, which may have spaces in it."""
_QUOTED = re.compile(rf"(['\"`])({_START}[^'\"`\n]*)\1")
_BARE = re.compile(rf"(?<![\w:/\\.~…*?\]-])({_START}(?:{_PART}[\\/]+)*(?:{_WORD})?)")
_FILE_ADDRESS = re.compile(r"\b(?:file|sqlite(?:\+\w+)?):/{2,4}[^\s'\"`]+")

_COMMA = "\0"
"""Stands for a comma that is no separator; no text of a user's holds it."""
_OPTION_WITH_TEXT = re.compile(r"(--say .*?)(?= --(?:voice|language) | -[km] |$)")
_FILE_ENDINGS = re.compile(
    r"\.(?:onnx|ort|bin|npz|npy|py|json|txt|toml|whl|sqlite\d?|db|md|csv|ya?ml|ini|cfg|lock|html|log)$", re.IGNORECASE
)

_Record = TypeVar("_Record")
_Run = TypeVar("_Run", RunData, RunOutline)


def published_text(text: str) -> str:
    """A sentence, a message or the end of a log without the user's folders; `text` itself if it has none."""
    if "/" not in text and "\\" not in text:
        return text
    found = _without_paths(text)
    return text if found == text else found


@lru_cache(maxsize=4096)  # the same reason stands in every repetition that failed alike
def _without_paths(text: str) -> str:
    text = _FILE_ADDRESS.sub(lambda match: _name(match[0]), without_users(text))
    text = _QUOTED.sub(lambda match: f"{match[1]}{_name(match[2])}{match[1]}", text)
    return _BARE.sub(lambda match: _name(match[1]), text)


@lru_cache(maxsize=4096)
def published_selection(selection: str) -> str:
    """A run's selection without folders. Relative paths are recognised by their position in the selection."""
    if "\\," in selection:  # a comma in a file's own name, as lists have it
        return published_selection(selection.replace("\\,", _COMMA)).replace(_COMMA, "\\,")
    option = _OPTION_WITH_TEXT.search(selection)
    if option:
        before, text, after = selection[: option.start()], option[0], selection[option.end() :]
        return published_selection(before) + published_text(text) + published_selection(after)
    words = published_text(selection).split(" ")
    return " ".join(",".join(map(_chosen, word.split(","))) for word in words)


def published_head(run: RunRecord) -> RunRecord:
    """The head without the user's folders, and without which process it was."""
    return replace(published_record(run), selection=published_selection(run.selection), pid=0, boot="")


def published(run: _Run) -> _Run:
    """A run or its outline without the user's folders, and without which process it was."""
    cleaned: RunData | RunOutline = replace(
        run,
        run=published_head(run.run),
        launches=published_record(run.launches),
        repetitions=_repetitions(run.repetitions),
        verdicts=published_record(run.verdicts),
        targets=published_record(run.targets),
        summaries=published_record(run.summaries),
    )
    if isinstance(cleaned, RunData):
        cleaned = replace(cleaned, blocks=published_record(cleaned.blocks))
    return cast("_Run", cleaned)


def _repetitions(repetitions: tuple[Repetition, ...]) -> tuple[Repetition, ...]:
    """Redact only the repetitions whose texts may contain a path: a run may have a hundred thousand."""
    return tuple(published_record(each) if _may_say_a_path(each) else each for each in repetitions)


def _may_say_a_path(each: Repetition) -> bool:
    onset = each.audio.onset_reason if each.audio is not None else ""
    texts = (each.outcome.reason, each.outcome.stderr_tail, each.memory.peak_reason, onset)
    return any("/" in text or "\\" in text for text in texts if text)


def published_record(value: _Record) -> _Record:
    """The same record, of whatever kind, with every text in it cleaned; ids are slugs, and come through unchanged."""
    return cast("_Record", _clean(value))


def _clean(value: Any, *, within: bool = False) -> Any:  # noqa: ANN401 - whatever a record is made of
    """`within` says whether the value is an item of a tuple."""
    if isinstance(value, str):
        # Text enumerations have no paths, and must stay what they are.
        return published_text(value) if type(value) is str else value
    if isinstance(value, tuple):
        return _items(value, within=within)
    if isinstance(value, Arm):
        return _arm(value)
    if isinstance(value, Scenario):
        arm = _arm(value.arm)
        return value if arm is value.arm else replace(value, arm=arm)
    return _fields(value) if is_dataclass(value) and not isinstance(value, type) else value


def _items(value: tuple[Any, ...], *, within: bool) -> tuple[Any, ...]:
    if isinstance(value, Median):
        return value._replace(reason=published_text(value.reason)) if value.reason else value
    # The first of a pair in a list is the name of the second: of a package, a part, an arm.
    named = within and len(value) == 2 and isinstance(value[0], str)
    found = [value[0], _clean(value[1])] if named else [_clean(each, within=True) for each in value]
    if all(new is old for new, old in zip(found, value, strict=True)):
        return value
    return type(value)(*found) if hasattr(value, "_fields") else tuple(found)


def _fields(value: Any) -> Any:  # noqa: ANN401 - any dataclass
    changed = {}
    for name in _telling(cast("Hashable", type(value))):
        old = getattr(value, name)
        if old and (new := _clean(old)) is not old:
            changed[name] = new
    return replace(value, **changed) if changed else value


@cache
def _telling(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - any dataclass
    """The fields of a record that may hold a text: a site of a thousand runs has a million that cannot."""
    return tuple(name for name, its in get_type_hints(kind).items() if name not in IDS and _may_tell(its))


def _may_tell(kind: Any) -> bool:  # noqa: ANN401 - any type
    """Whether a value of this type may hold a text. Text enumerations do not: their values are ours."""
    if is_dataclass(kind):
        return bool(_telling(cast("Hashable", kind)))
    if isinstance(kind, type) and issubclass(kind, (*FIGURES, Enum)):
        return False
    parts = [each for each in get_args(kind) if each is not Ellipsis]
    return not parts or any(map(_may_tell, parts))


def _arm(arm: Arm) -> Arm:
    """An arm of the same id: what is cleaned of its options is what its id leaves out."""
    requirements = tuple(map(_requirement, arm.runtime.requirements))
    changed: dict[str, Any] = {}
    if requirements != arm.runtime.requirements:
        changed["runtime"] = replace(arm.runtime, requirements=requirements)
    for name in () if arm.url else ("provider_options", "session_options"):
        old = getattr(arm, name)
        new = tuple((key, without_folder(value)) for key, value in old)
        if new != old:
            changed[name] = new
    return replace(arm, **changed) if changed else arm


def _requirement(requirement: str) -> str:
    """A requirement of a runtime; of the path of a package its last part."""
    if requirement.startswith(PACKAGE_PATH):
        return PACKAGE_PATH + last_part(requirement.removeprefix(PACKAGE_PATH))
    return published_text(requirement)


def _name(path: str) -> str:
    parts = [part for part in re.split(r"[/\\]+", path) if part]
    if not parts or (len(parts) == 1 and path.startswith("/")) or (path.startswith("/") and parts[0] in KEPT_ROOTS):
        return path
    if "site-packages" in parts:
        inside = parts[parts.index("site-packages") + 1 :]
        return "/".join(inside) or FOLDER
    ended = parts[-1].rstrip(".")
    full_stop = parts[-1][len(ended) :] if len(ended) > 1 else ""
    return f"{ended}{full_stop}" if is_file_name(ended) else f"{FOLDER}{full_stop}"


def _chosen(word: str) -> str:
    """One word of a selection: `--model a/b.onnx`, `model=a/b.onnx`, `tests/test_x.py`, a folder, a revision."""
    name, equals, value = word.rpartition("=")
    if "://" in value or name == "rev" or not ("/" in value or "\\" in value):
        return word
    last = last_part(value)
    return name + equals + (last if _FILE_ENDINGS.search(last) else FOLDER)
