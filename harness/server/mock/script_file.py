"""Reading scripts: JSON or TOML in, a `Script` out, or an error that names the place of what is wrong."""

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

LEAST = {"status": 200, "sample_rate": 1, "channels": 1}
"""The least value of a count that must not be 0."""
MOST = {"wav_size": 0xFFFFFFFF}
"""The greatest value of a count for which there is one."""


def find_script(name: str) -> Script:
    """A built-in script by its name, or one from a file. UsageError where there is neither."""
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
        said = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"not {path.suffix[1:].upper()}: {error}", where=name, remedy="mend the file") from error
    return read_script(said, name=path.stem, where=name)


def read_script(said: object, *, name: str, where: str) -> Script:
    """A script from what a file says. UsageError names the place of what is wrong."""
    table = _table(said, where, Script)
    answers = table.pop("answers", None)
    if not isinstance(answers, list) or not answers:
        raise _wrong(where, "`answers` is a list with at least one answer")
    freeze = table.pop("freeze", None)
    if "when_full" in table:
        table["when_full"] = _word(WhenFull, table["when_full"], f"{where}, when_full")
    script = Script(
        name=str(table.pop("name", name)),
        answers=tuple(_read_answer(each, f"{where}, answer {number}") for number, each in enumerate(answers, 1)),
        freeze=None if freeze is None else _read_freeze(freeze, f"{where}, freeze"),
        **_plain(table, Script, where),
    )
    if script.dialect not in ("openai", "raycast", "both"):
        raise _wrong(where, f"`dialect` is openai, raycast or both, not {script.dialect!r}")
    return script


def _read_answer(said: object, where: str) -> Answer:
    table = _table(said, where, Answer)
    steps = table.pop("steps", [])
    headers = table.pop("headers", {})
    if not isinstance(headers, dict):
        raise _wrong(where, "`headers` is a table")
    for key, kind in (("framing", Framing), ("voice", Voice)):
        if key in table:
            table[key] = _word(kind, table[key], f"{where}, {key}")
    return Answer(
        steps=_read_steps(steps, where),
        headers=tuple((str(key), str(value)) for key, value in headers.items()),
        **_plain(table, Answer, where),
    )


def _read_freeze(said: object, where: str) -> Freeze:
    table = _table(said, where, Freeze)
    if set(table) != {"at_ms", "for_ms"}:
        raise _wrong(where, "a freeze has at_ms and for_ms")
    return Freeze(**_numbers(table, where))


def _read_steps(said: object, where: str) -> tuple[Step, ...]:
    if not isinstance(said, list):
        raise _wrong(where, "`steps` is a list")
    return tuple(_read_step(each, f"{where}, step {number}") for number, each in enumerate(said, 1))


def _read_step(said: object, where: str) -> Step:
    keys = set(said) if isinstance(said, dict) else set()
    if not isinstance(said, dict) or len(keys - {"repeat"}) != 1 or ("repeat" in keys and "steps" not in keys):
        raise _wrong(where, "a step has one key, as in { wait_ms = 200 }; only `steps` has `repeat` beside it")
    key = next(iter(keys - {"repeat"}))
    value = said[key]
    if key == "steps":
        repeat = said.get("repeat", 1)
        if not isinstance(repeat, int) or repeat < 0:
            raise _wrong(where, "`repeat` is a count, or 0 for ever")
        return Step(steps=_read_steps(value, where), repeat=repeat)
    if key == "end":
        return Step(end=_word(End, value, where))
    if key == "header":
        return Step(header=True)
    if key in ("text", "hex"):
        try:
            return Step(body=bytes.fromhex(str(value)) if key == "hex" else str(value).encode())
        except ValueError as error:
            raise _wrong(where, f"`hex` holds no hexadecimal bytes: {error}") from error
    if key not in ("wait_ms", "wait_share", "audio_ms", "audio_share", "silence_ms"):
        raise _wrong(where, f"there is no step {key!r}")
    return Step(**_numbers({key: value}, where))


def _table(said: object, where: str, kind: type) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    if not isinstance(said, Mapping):
        raise _wrong(where, f"a {kind.__name__.lower()} is a table")
    for key in said:
        if key not in known:
            raise UsageError(f"unknown key {key!r}", where=where, remedy=nearest(str(key), sorted(known)))
    return dict(said)


def _plain(table: Mapping[str, object], kind: type, where: str) -> dict[str, Any]:
    """Fields whose type is that of their default: a switch, a count, a word."""
    defaults = {field.name: field.default for field in fields(kind)}
    for key, value in table.items():
        default, least, most = defaults[key], LEAST.get(key, 0), MOST.get(key, 1 << 62)
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise _wrong(where, f"`{key}` is true or false, not {value!r}")
        elif isinstance(default, int):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                bounds = f"{least} to {most}" if key in MOST else f"at least {least}"
                raise _wrong(where, f"`{key}` is a whole number, {bounds}, not {value!r}")
        elif not isinstance(value, str):
            raise _wrong(where, f"`{key}` is a word, not {value!r}")
    return dict(table)


def _numbers(table: Mapping[str, object], where: str) -> dict[str, Any]:
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise _wrong(where, f"`{key}` is a number, at least 0, not {value!r}")
    return dict(table)


def _word(kind: type[StrEnum], value: object, where: str) -> Any:  # noqa: ANN401 - a member of `kind`
    try:
        return kind(str(value))
    except ValueError as error:
        raise _wrong(where, f"{value!r} is none of {', '.join(kind)}") from error


def _wrong(where: str, what: str) -> UsageError:
    return UsageError(what, where=where, remedy="see `kokoro-bench mock-server --help`")
