"""The keys `server` and `server-command`: they stand for a URL, whose server is started for each launch."""

import hashlib
import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from harness.core.errors import ConfigError
from harness.core.names import SERVER, slug

KEYS = ("server", "server-command")
SHELL = ("&&", "||", "|", ";", "&", ">", ">>", "<")
"""Words of a shell, which would be arguments here."""
PLAIN_WORDS = 3
"""Words of a command, at most, in the name of its server."""


def imply_server(values: dict[str, Any], origins: dict[str, str], ranks: Mapping[str, int]) -> None:
    """Set `url` to the server to start. ConfigError if two of the three keys were chosen in the same place.

    Otherwise the one of the highest rank wins: an option over a variable, a variable over a file.
    """
    chosen = sorted((ranks.get(name, 0), name) for name in (*KEYS, "url") if values[name])
    if not chosen or chosen[-1][1] == "url":
        if len(chosen) > 1 and chosen[-1][0] == chosen[-2][0]:
            _refuse(chosen[-2][1], chosen[-1][1], origins)
        return
    rank, name = chosen[-1]
    if len(chosen) > 1 and chosen[-2][0] == rank:
        _refuse(chosen[-2][1], name, origins)
    server = values[name] if name == "server" else command_name(values[name], where=origins[name])
    values["url"], origins["url"] = SERVER + server, f"implied by {name}, {origins[name]}"


def command_name(text: str, *, where: str) -> str:
    """The name of the server of a command: its first words, and a digest that tells it from others. ConfigError."""
    words = split_command(text, where=where)
    plain = []
    for word in words[:PLAIN_WORDS]:
        if word.startswith("-") or "{" in word:
            break
        plain.append(PurePath(word).name)
    return f"{slug('-'.join(plain))}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def split_command(text: str, *, where: str) -> tuple[str, ...]:
    """The words of a command. ConfigError where there are none, or where it is written for a shell."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"not a command: {error}", where=where, remedy="close the quotation") from error
    if not words:
        raise ConfigError("the command is empty", where=where, remedy='command = "my-server --port {port}"')
    if found := next((word for word in words if word in SHELL), ""):
        raise ConfigError(
            f"commands run without a shell, so {found!r} would be an argument", where=where, remedy='sh -c "…"'
        )
    return words


def _refuse(one: str, other: str, origins: dict[str, str]) -> None:
    raise ConfigError(
        f"{one} and {other} name two servers ({origins[one]}, {origins[other]})",
        where=origins[other],
        remedy="give one of them",
    )
