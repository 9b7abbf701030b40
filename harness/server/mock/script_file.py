"""Reads scripts from JSON or TOML. Errors name the place of the fault."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any

from harness.core.errors import UsageError, nearest
from harness.core.user_paths import user_path
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, End, Framing, Freeze, Script, Step, Voice, WhenFull

MINIMUM = {"status": 200, "sample_rate": 1, "channels": 1}
"""The minimum of counts that must not be 0."""
MAXIMUM = {"wav_size": 0xFFFFFFFF}
"""The maximum of counts that have one."""


def find_script(name: str) -> Script:
    """A built-in script by its name, or a script from a file. Raises UsageError if there is neither."""
    if name in SCRIPTS:
        return SCRIPTS[name]
    path = user_path(name, where="SCRIPT")
    if path.suffix not in (".json", ".toml"):
        raise UsageError(f"no built-in script {name!r}", where="SCRIPT", remedy=nearest(name, list(SCRIPTS)))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot read the script: {error.strerror}", where=name, remedy="give a .json or .toml file, or a name"
        ) from error
    try:
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"not {path.suffix[1:].upper()}: {error}", where=name, remedy="fix the file") from error
    return read_script(content, name=path.stem, where=name)


def read_script(content: object, *, name: str, where: str) -> Script:
    """Build a script from the content of a file. UsageError names the place of a fault."""
    table = _table(content, where, Script)
    answers = table.pop("answers", None)
    if not isinstance(answers, list) or not answers:
        raise _usage_error(where, "`answers` is a list with at least one answer")
    freeze = table.pop("freeze", None)
    if "when_full" in table:
        table["when_full"] = _enum_member(WhenFull, table["when_full"], f"{where}, when_full")
    script = Script(
        name=str(table.pop("name", name)),
        answers=tuple(_read_answer(each, f"{where}, answer {number}") for number, each in enumerate(answers, 1)),
        freeze=None if freeze is None else _read_freeze(freeze, f"{where}, freeze"),
        **_plain(table, Script, where),
    )
    if script.dialect not in ("openai", "raycast", "both"):
        raise _usage_error(where, f"`dialect` is openai, raycast or both, not {script.dialect!r}")
    return script


def _read_answer(content: object, where: str) -> Answer:
    table = _table(content, where, Answer)
    steps = table.pop("steps", [])
    headers = table.pop("headers", {})
    if not isinstance(headers, dict):
        raise _usage_error(where, "`headers` is a table")
    for key, kind in (("framing", Framing), ("voice", Voice)):
        if key in table:
            table[key] = _enum_member(kind, table[key], f"{where}, {key}")
    return Answer(
        steps=_read_steps(steps, where),
        headers=tuple((str(key), str(value)) for key, value in headers.items()),
        **_plain(table, Answer, where),
    )


def _read_freeze(content: object, where: str) -> Freeze:
    table = _table(content, where, Freeze)
    if set(table) != {"at_ms", "for_ms"}:
        raise _usage_error(where, "a freeze has at_ms and for_ms")
    return Freeze(**_numbers(table, where))


def _read_steps(content: object, where: str) -> tuple[Step, ...]:
    if not isinstance(content, list):
        raise _usage_error(where, "`steps` is a list")
    return tuple(_read_step(each, f"{where}, step {number}") for number, each in enumerate(content, 1))


def _read_step(content: object, where: str) -> Step:
    keys = set(content) if isinstance(content, dict) else set()
    if not isinstance(content, dict) or len(keys - {"repeat"}) != 1 or ("repeat" in keys and "steps" not in keys):
        raise _usage_error(where, "a step has one key, as in { wait_ms = 200 }; only `steps` has `repeat` beside it")
    key = next(iter(keys - {"repeat"}))
    value = content[key]
    if key == "steps":
        repeat = content.get("repeat", 1)
        if not isinstance(repeat, int) or repeat < 0:
            raise _usage_error(where, "`repeat` is a count, or 0 for no end")
        return Step(steps=_read_steps(value, where), repeat=repeat)
    if key == "end":
        return Step(end=_enum_member(End, value, where))
    if key == "header":
        return Step(header=True)
    if key in ("text", "hex"):
        try:
            return Step(body=bytes.fromhex(str(value)) if key == "hex" else str(value).encode())
        except ValueError as error:
            raise _usage_error(where, f"`hex` holds no hexadecimal bytes: {error}") from error
    if key not in ("wait_ms", "wait_share", "audio_ms", "audio_share", "silence_ms"):
        raise _usage_error(where, f"there is no step {key!r}")
    return Step(**_numbers({key: value}, where))


def _table(content: object, where: str, kind: type) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    if not isinstance(content, Mapping):
        raise _usage_error(where, f"a {kind.__name__.lower()} is a table")
    for key in content:
        if key not in known:
            raise UsageError(f"unknown key {key!r}", where=where, remedy=nearest(str(key), sorted(known)))
    return dict(content)


def _plain(table: Mapping[str, object], kind: type, where: str) -> dict[str, Any]:
    """Check fields that have the type of their default: a switch, a count, or a word."""
    defaults = {field.name: field.default for field in fields(kind)}
    for key, value in table.items():
        default, least, most = defaults[key], MINIMUM.get(key, 0), MAXIMUM.get(key, 1 << 62)
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise _usage_error(where, f"`{key}` is true or false, not {value!r}")
        elif isinstance(default, int):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                bounds = f"{least} to {most}" if key in MAXIMUM else f"at least {least}"
                raise _usage_error(where, f"`{key}` is a whole number, {bounds}, not {value!r}")
        elif not isinstance(value, str):
            raise _usage_error(where, f"`{key}` is a word, not {value!r}")
    return dict(table)


def _numbers(table: Mapping[str, object], where: str) -> dict[str, Any]:
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise _usage_error(where, f"`{key}` is a number, at least 0, not {value!r}")
    return dict(table)


def _enum_member(kind: type[StrEnum], value: object, where: str) -> Any:  # noqa: ANN401 - a member of `kind`
    try:
        return kind(str(value))
    except ValueError as error:
        raise _usage_error(where, f"{value!r} is none of {', '.join(kind)}") from error


def _usage_error(where: str, what: str) -> UsageError:
    return UsageError(what, where=where, remedy="see `kokoro-bench mock-server --help`")
