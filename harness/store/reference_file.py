"""`reference.toml` beside the baselines: the accepted arms, independent of the machine and reviewed like code.

The file is sorted, with one fact a line, so that a review shows what an acceptance changes.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.core.errors import BaselineError
from harness.core.records.git_package import read_git_package
from harness.core.records.reference import AcceptedBy, LoadedSubject, Reference, ReferenceArm, in_order
from harness.store.baseline_files import write_all
from harness.store.toml_lines import Place, line_of

REFERENCE_FILE: Final = "reference.toml"
REFERENCE_FORMAT: Final = 1
"""Version of the file. History: 1, the first."""

_HEADER: Final = (
    "# What is accepted: everything that the worker of each arm loaded. Review it like code.\n"
    "# `kokoro-bench baseline promote RUN` writes this file; docs/method.md describes it.\n"
)
_RESTORE: Final = "restore it with `git checkout -- {file}`, or remove it and run `kokoro-bench baseline promote RUN`"
_MERGE: Final = "keep the arms of one side, remove the markers, then run `kokoro-bench baseline show --reference`"
_CONFLICT: Final = re.compile(r"^(<{7}|={7}$|>{7})", flags=re.MULTILINE)
_AT: Final = re.compile(r"^(.*) \(at line (\d+), column (\d+)\)$", flags=re.DOTALL)
_VERSION: Final = re.compile(r"(?:\d+!)?v?\d+[A-Za-z0-9]*(?:[.+_-][A-Za-z0-9]+)*")
"""Enough of PEP 440 to tell a version from a typing error; kokoro-bench does not order versions by it."""
_BY_SCHEDULE: Final = "promoted by the schedule: nothing regressed, failed or was missing"
"""The reason with which earlier versions wrote what a schedule accepted, without `accepted-by`."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class _Model(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="kebab"):
    name: str
    sha256: str
    voices_sha256: str = ""
    recipe: str = ""
    parent: str = ""


class _Arm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="kebab"):
    id: str
    run: str
    date: str
    reason: str = ""
    accepted_by: AcceptedBy | None = None
    engine: str
    engine_version: str = ""
    engine_source: str
    harness_version: str = ""
    revision: str = ""
    dirty: bool = False
    interpreter: str
    provider: str
    threads: int
    not_rebuildable: list[str] = []
    scenarios: list[str]
    model: _Model | None = None
    packages: dict[str, str] = {}
    local_packages: dict[str, str] = {}
    git_packages: dict[str, str] = {}
    provider_options: dict[str, str] = {}
    session_options: dict[str, str] = {}


def reference_path(root: Path) -> Path:
    """The file of the baselines under `root`."""
    return root / REFERENCE_FILE


def load_reference(root: Path) -> Reference:
    """The accepted reference under `root`; empty if there is none. BaselineError for a file that cannot be used."""
    path = reference_path(root)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Reference()
    except NotADirectoryError:
        return Reference()
    except UnicodeDecodeError as error:
        raise _refusal(f"is not UTF-8 text (byte {error.start})", path) from error
    except OSError as error:
        raise BaselineError(f"cannot be read ({error.strerror})", where=str(path), remedy="make it readable") from error
    return parse_reference(text, path)


def parse_reference(text: str, path: Path) -> Reference:
    """The content of the file `path`. BaselineError names the line of what does not belong there."""
    plain = _plain(text, path)
    if plain.get("format") != REFERENCE_FORMAT:
        found = plain.get("format")
        newer = isinstance(found, int) and found > REFERENCE_FORMAT
        raise BaselineError(
            f"has the format {found!r}, and this kokoro-bench reads {REFERENCE_FORMAT}",
            where=_at(path, line_of(text, Place(key="format"))),
            remedy="pip install --upgrade kokoro-bench" if newer else _RESTORE.format(file=path),
        )
    for key in plain:
        if key not in ("format", "arms"):
            raise _unknown_field(text, path, Place(key=key))
    arms = plain.get("arms", [])
    if not isinstance(arms, list) or not all(isinstance(each, dict) for each in arms):
        raise _refusal("`arms` is no list of tables [[arms]]", path, line=line_of(text, Place(key="arms")))
    found_arms = [_arm(each, number, text, path) for number, each in enumerate(arms)]
    _check_unique(found_arms, text, path)
    return Reference(arms=in_order(found_arms))


def render(reference: Reference) -> bytes:
    """The content of the file: sorted, one fact a line, UTF-8, ends with a newline."""
    parts = [_HEADER, f"format = {REFERENCE_FORMAT}\n", *(_rendered(arm) for arm in in_order(reference.arms))]
    return "\n".join(parts).encode("utf-8", "replace")


def write(root: Path, reference: Reference, *, others: Mapping[Path, bytes] | None = None) -> None:
    """Write the reference together with the files `others`: all of them, or none. BaselineError if this fails."""
    path = reference_path(root)
    write_all({**(others or {}), path: checked(reference, path)})


def checked(reference: Reference, path: Path) -> bytes:
    """The content of the file `path`. BaselineError for a reference that the next command could not read."""
    content = render(reference)
    parse_reference(content.decode("utf-8"), path)
    return content


def _plain(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        conflict = _CONFLICT.search(text)
        if conflict:
            line = text.count("\n", 0, conflict.start()) + 1
            where = f"{path}:{line}:1"
            raise BaselineError("holds an unresolved merge conflict", where=where, remedy=_MERGE) from error
        place = _AT.match(str(error))
        what, where = (place[1], f"{path}:{place[2]}:{place[3]}") if place else (str(error), _end(text, path))
        what = what.removesuffix(" (at end of document)")
        raise BaselineError(f"has a syntax error: {what}", where=where, remedy=_RESTORE.format(file=path)) from error
    except RecursionError as error:
        raise _refusal("is nested too deeply", path) from error


def _end(text: str, path: Path) -> str:
    """The place behind the last character, where the parser missed something."""
    lines = text.split("\n")
    return f"{path}:{len(lines)}:{len(lines[-1]) + 1}"


def _arm(plain: dict[str, Any], number: int, text: str, path: Path) -> ReferenceArm:
    try:
        raw = msgspec.convert(plain, type=_Arm)
    except msgspec.ValidationError as error:
        raise _invalid(error, number, text, path) from error
    _check_values(raw, number, text, path)
    model = raw.model or _Model(name="", sha256="")
    subject = LoadedSubject(
        engine=raw.engine,
        engine_version=raw.engine_version,
        engine_source=raw.engine_source,
        interpreter=raw.interpreter,
        packages=_pairs(raw.packages),
        model_sha256=model.sha256,
        voices_sha256=model.voices_sha256,
        provider=raw.provider,
        threads=raw.threads,
        provider_options=_pairs(raw.provider_options),
        session_options=_pairs(raw.session_options),
        local_packages=_pairs(raw.local_packages),
    )
    return ReferenceArm(
        arm_id=raw.id,
        subject=subject,
        model_name=model.name,
        model_recipe=model.recipe,
        model_parent=model.parent,
        revision=raw.revision,
        dirty=raw.dirty,
        harness_version=raw.harness_version,
        run=raw.run,
        date=raw.date,
        reason=raw.reason,
        accepted_by=raw.accepted_by or (AcceptedBy.SCHEDULE if raw.reason == _BY_SCHEDULE else AcceptedBy.PERSON),
        scenarios=tuple(sorted(set(raw.scenarios))),
        not_rebuildable=tuple(raw.not_rebuildable),
        git_packages=tuple(
            found for name, source in sorted(raw.git_packages.items()) if (found := read_git_package(name, source))
        ),
    )


def _invalid(error: msgspec.ValidationError, number: int, text: str, path: Path) -> BaselineError:
    """The error of a field that is unknown, absent or of a wrong type, with its line."""
    what, _, where = str(error).partition(" - at `$")
    table = tuple(part for part in re.split(r"[.\[\]`]+", where) if part and not part.isdecimal() and part != "...")
    unknown = re.search(r"unknown field `(.*?)`", what)
    if unknown:
        return _unknown_field(text, path, Place(arm=number, table=table, key=unknown[1]))
    key = table[-1] if table else ""
    line = line_of(text, Place(arm=number, table=table[:-1], key=key)) or line_of(text, Place(arm=number, table=table))
    named = f" in `{'.'.join(table)}`" if table else ""
    return _refusal(f"{_plainly(what)}{named}", path, line=line)


def _plainly(what: str) -> str:
    what = re.sub(r"^Object missing required field `(.*?)`", r"lacks the field `\1`", what)
    return re.sub(r"^Expected `(.*?)`, got `(.*?)`", r"has a value of type \2 where \1 is expected", what)


def _check_values(raw: _Arm, number: int, text: str, path: Path) -> None:
    for name, version in sorted(raw.packages.items()):
        if not _VERSION.fullmatch(version):
            line = line_of(text, Place(arm=number, table=("packages",), key=name))
            raise BaselineError(
                f"{version!r} is no version of the package {name}",
                where=_at(path, line),
                remedy=f'write the version that was accepted, such as {name} = "1.2.3"; '
                f"`git log -p -- {path.name}` shows it",
            )
    for name, source in sorted(raw.git_packages.items()):
        if read_git_package(name, source) is None:
            line = line_of(text, Place(arm=number, table=("git-packages",), key=name))
            raise _refusal(f"{source!r} does not name the commit of {name}", path, line=line)
    digests: list[tuple[tuple[str, ...], str, str]] = [((), "engine-source", raw.engine_source)]
    if raw.model:
        digests += [(("model",), "sha256", raw.model.sha256), (("model",), "voices-sha256", raw.model.voices_sha256)]
        digests += [(("model",), "parent", raw.model.parent)]
    try:
        date.fromisoformat(raw.date[:10])
    except ValueError as error:
        line = line_of(text, Place(arm=number, key="date"))
        raise _refusal(f"{raw.date!r} is no date such as 2026-12-31", path, line=line) from error
    if raw.threads < 0:
        line = line_of(text, Place(arm=number, key="threads"))
        raise _refusal(f"{raw.threads} is no number of threads (0 is the default)", path, line=line)
    for table, key, digest in digests:
        if digest and not _DIGEST.fullmatch(digest):
            line = line_of(text, Place(arm=number, table=table, key=key))
            raise _refusal(f"{digest!r} is no SHA-256 (64 hexadecimal digits)", path, line=line)


def _check_unique(arms: Sequence[ReferenceArm], text: str, path: Path) -> None:
    """Refuse a scenario that two arms accept: nobody could tell which of them is its reference."""
    seen: dict[str, int] = {}
    subjects: dict[tuple[str, LoadedSubject], int] = {}
    for number, arm in enumerate(arms):
        twice = next((each for each in arm.scenarios if each in seen), None)
        first = seen[twice] if twice is not None else subjects.get((arm.arm_id, arm.subject))
        if first is not None:
            line = line_of(text, Place(arm=first))
            what = f"both accept {twice}" if twice is not None else "have the same subject"
            raise BaselineError(
                f"two arms {arm.arm_id!r} {what}; the other one begins in line {line}",
                where=_at(path, line_of(text, Place(arm=number))),
                remedy="remove the one that is no longer accepted",
            )
        seen |= dict.fromkeys(arm.scenarios, number)
        subjects[arm.arm_id, arm.subject] = number


def _unknown_field(text: str, path: Path, place: Place) -> BaselineError:
    return BaselineError(
        f"has an unknown field `{place.key}`",
        where=_at(path, line_of(text, place)),
        remedy="remove the line; if a newer kokoro-bench wrote it, pip install --upgrade kokoro-bench",
    )


def _refusal(what: str, path: Path, *, line: int = 0) -> BaselineError:
    return BaselineError(what, where=_at(path, line), remedy=_RESTORE.format(file=path))


def _at(path: Path, line: int) -> str:
    return f"{path}:{line}" if line else str(path)


def _pairs(table: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(table.items()))


# --- writing ----------------------------------------------------------------------------------------------------------


def _rendered(arm: ReferenceArm) -> str:
    subject = arm.subject
    facts: dict[str, Any] = {
        "id": arm.arm_id,
        "run": arm.run,
        "date": arm.date,
        "reason": arm.reason,
        **({} if arm.accepted_by is AcceptedBy.PERSON else {"accepted-by": arm.accepted_by.value}),
        "engine": subject.engine,
        "engine-version": subject.engine_version,
        "engine-source": subject.engine_source,
        "harness-version": arm.harness_version,
        "revision": arm.revision,
        "dirty": arm.dirty,
        "interpreter": subject.interpreter,
        "provider": subject.provider,
        "threads": subject.threads,
    }
    lines = ["[[arms]]", *_facts(facts.items())]
    if arm.not_rebuildable:
        lines += _listed("not-rebuildable", arm.not_rebuildable)
    lines += _listed("scenarios", sorted(arm.scenarios))
    if arm.model_name or subject.model_sha256:
        model = {
            "name": arm.model_name,
            "recipe": arm.model_recipe,
            "parent": arm.model_parent,
            "sha256": subject.model_sha256,
            "voices-sha256": subject.voices_sha256,
        }
        lines += ["", "[arms.model]", *_facts(model.items())]
    for name, pairs in (
        ("packages", subject.packages),
        ("local-packages", subject.local_packages),
        ("git-packages", tuple((each.name, str(each)) for each in arm.git_packages)),
        ("provider-options", subject.provider_options),
        ("session-options", subject.session_options),
    ):
        if pairs:
            lines += ["", f"[arms.{name}]", *_facts(sorted(pairs))]
    return "\n".join(lines) + "\n"


def _facts(items: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in items]


def _listed(key: str, values: Sequence[str]) -> list[str]:
    return [f"{key} = [", *(f"  {_value(value)}," for value in values), "]"]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: str | int) -> str:
    """A TOML value. JSON's strings are TOML's, except for the character 7F."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
