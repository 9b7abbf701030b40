"""What a scripted server does: a script of answers, each a list of timed steps. Read from JSON or TOML, or built in.

A step is a table with one key: `wait_ms` or `wait_share`, `audio_ms` or `audio_share` (shares are of the text's natural
length), `silence_ms`, `header` (a WAV's, now), `text` or `hex` (raw body), `end` ("close", "reset" or "hang"), or
`steps` with `repeat` (0 is for ever). Waits add up from the moment at which the request had come, so what is late never
makes the next later.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.errors import UsageError, nearest


class End(StrEnum):
    """How an answer ends that does not end well."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


class Framing(StrEnum):
    """How a body says where it ends."""

    CHUNKED = "chunked"
    LENGTH = "length"
    UNTIL_CLOSE = "until-close"


class Voice(StrEnum):
    """Whose text is heard."""

    OWN = "own"
    FIRST = "first"
    """The first text that was ever asked for."""
    OTHER = "other"
    """That of another request in progress, where there is one."""
    MIXED = "mixed"
    """Both at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; exactly one field is set. Times in ms; `steps` are done `repeat` times, 0 being for ever."""

    wait_ms: float | None = None
    wait_share: float | None = None
    audio_ms: float | None = None
    audio_share: float | None = None
    silence_ms: float | None = None
    header: bool | None = None
    body: bytes | None = None
    end: End | None = None
    steps: "tuple[Step, ...] | None" = None
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. `content_type` "" is the right one; `coalesce` holds pieces back until so many bytes are there.

    `sample_rate` (Hz) and `channels` are what the audio and its header have. A request that does not ask for streaming
    gets everything at the end, unless the answer is `unasked`, and streams all the same.
    """

    steps: tuple[Step, ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = ""
    framing: Framing = Framing.CHUNKED
    missing: int = 0
    """Bytes that a Content-Length announces and that never come."""
    gzip: bool = False
    coalesce: int = 0
    sample_rate: int = 24_000
    channels: int = 1
    voice: Voice = Voice.OWN
    unasked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """The whole server stands still, `for_ms` long, `at_ms` after the first request had come."""

    at_ms: float
    for_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A server's behaviour. Request n gets answer n; then the last for ever, or all again in a `cycle`.

    `dialect` is "openai", "raycast" or "both"; `cached` answers a request that it has seen before without waits.
    """

    name: str
    meaning: str = ""
    answers: tuple[Answer, ...]
    cycle: bool = False
    dialect: str = "both"
    cached: bool = False
    freeze: Freeze | None = None

    def answer(self, number: int) -> Answer:
        """The answer to request `number`, from 0."""
        count = len(self.answers)
        return self.answers[number % count if self.cycle else min(number, count - 1)]


def find_script(name: str) -> Script:
    """A built-in script by its name, or one from a file. UsageError where there is neither."""
    from harness.server.builtin import SCRIPTS

    if name in SCRIPTS:
        return SCRIPTS[name]
    path = Path(name)
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
    script = Script(
        name=str(table.pop("name", name)),
        answers=tuple(_read_answer(each, f"{where}, answer {number}") for number, each in enumerate(answers, 1)),
        freeze=Freeze(**_numbers(_table(freeze, f"{where}, freeze", Freeze), where)) if freeze is not None else None,
        **table,
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
        **table,
    )


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
    return UsageError(what, where=where, remedy="see `kokoro-bench scripted-server --help`")
