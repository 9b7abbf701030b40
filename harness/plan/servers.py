"""The servers that the harness starts: `[tool.kokoro-bench.server.NAME]`, or the command of `--server-command`."""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.core.errors import ConfigError, UsageError, nearest
from harness.core.quantities import as_pause, as_seconds
from harness.engines.http.dialects import DIALECTS
from harness.engines.started.command import FIRST_ANSWER, PORT
from harness.plan.config import SECTION, Config
from harness.plan.parsing import Reader, as_choice, as_text, read_table
from harness.plan.server_keys import command_name, split_command

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
STOP_SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGKILL")
HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """A declared server. `cwd` is relative to the folder of its source, unless absolute; times are seconds.

    `where` says where it is declared.
    """

    name: str
    where: str
    command: tuple[str, ...]
    cwd: str = ""
    env: tuple[tuple[str, str], ...] = ()
    ready: str = FIRST_ANSWER
    timeout: float = 120.0
    dialect: str = ""
    stop_signal: str = "SIGTERM"
    stop_timeout: float = 10.0
    setup: tuple[tuple[str, ...], ...] = ()
    port: int = 0

    def folder(self, source: Path) -> Path:
        """The directory in which its commands run, for a given folder of its source."""
        return (source / Path(self.cwd).expanduser()).absolute()


def find_server(config: Config, name: str) -> ServerSettings:
    """The server of a name, or that of the configured command.

    UsageError if there is none of that name, ConfigError if it is declared wrongly.
    """
    if text := config["server-command"]:
        where = config.origins["server-command"]
        if command_name(text, where=where) == name:
            return _checked(
                ServerSettings(
                    name=name, where=where, command=split_command(text, where=where), cwd=str(Path.cwd().absolute())
                )
            )
    known = config.tables.get("server", {})
    if not isinstance(known, Mapping):
        raise ConfigError("is not a table", where=f"[{SECTION}.server]", remedy=f"write [{SECTION}.server.NAME]")
    if name not in known:
        remedy = nearest(name, list(known)) if known else f"declare it in pyproject.toml: [{SECTION}.server.{name}]"
        raise UsageError(f"unknown server {name!r}", where="--server", remedy=remedy)
    return _read(name, known[name], where=f"{config.root / 'pyproject.toml'} [{SECTION}.server.{name}]")


def _read(name: str, table: Any, *, where: str) -> ServerSettings:  # noqa: ANN401 - from TOML
    if not isinstance(table, Mapping):
        raise ConfigError("is not a table", where=where, remedy='command = "my-server --port {port}"')
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a valid name", where=where, remedy="letters, digits, - and _, at most 60")
    found = read_table(table, _KEYS, where=where)
    if "command" not in found:
        raise ConfigError("has no command", where=where, remedy='command = "my-server --port {port}"')
    settings = ServerSettings(
        name=name,
        where=where,
        command=_words(found.pop("command"), where=f"{where} command"),
        setup=tuple(_words(each, where=f"{where} setup") for each in found.pop("setup", ())),
        **{key.replace("-", "_"): value for key, value in found.items()},
    )
    return _checked(settings)


def _checked(settings: ServerSettings) -> ServerSettings:
    """ConfigError where the server could not learn its port."""
    texts = (*settings.command, *(value for _, value in settings.env))
    if not settings.port and not any(PORT in text for text in texts):
        raise ConfigError(
            f"neither the command nor env has {PORT}: the server would not know its port",
            where=settings.where,
            remedy=f'command = "… --port {PORT}", or env = {{ PORT = "{PORT}" }}, or port = 8880',
        )
    return settings


def _words(value: str | tuple[str, ...], *, where: str) -> tuple[str, ...]:
    return split_command(value, where=where) if isinstance(value, str) else value


def _as_command(value: Any) -> str | tuple[str, ...]:  # noqa: ANN401 - from TOML
    """Text that is split into words, or a list of words."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise TypeError(f"must be text or a list of texts, not {value!r}")
    return tuple(value)


def _as_commands(value: Any) -> tuple[str | tuple[str, ...], ...]:  # noqa: ANN401 - from TOML
    if not isinstance(value, list):
        raise TypeError(f"must be a list of commands, not {value!r}")
    return tuple(map(_as_command, value))


def _as_variables(value: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - from TOML
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a table of variables, not {value!r}")
    for each in value.values():
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise TypeError(f"must have texts and numbers, not {each!r}")
    return tuple((name, str(each)) for name, each in value.items())


def _as_ready(value: Any) -> str:  # noqa: ANN401 - from TOML
    text = as_text(value).strip()
    if text != FIRST_ANSWER and not text.startswith("/"):
        raise ValueError(f"must be a path or {FIRST_ANSWER!r}, not {value!r}")
    return text


def _as_signal(value: Any) -> str:  # noqa: ANN401 - from TOML
    text = as_text(value).upper()
    text = text if text.startswith("SIG") else f"SIG{text}"
    known = [name for name in STOP_SIGNALS if hasattr(signal, name)]
    if text not in known:
        raise ValueError(f"must be one of {', '.join(known)}, not {value!r}")
    return text


def _as_port(value: Any) -> int:  # noqa: ANN401 - from TOML
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= HIGHEST_PORT:
        raise ValueError(f"must be a number from 1 to {HIGHEST_PORT}, not {value!r}")
    return value


_KEYS: Final[Mapping[str, tuple[Reader, str]]] = {
    "command": (_as_command, '"my-server --port {port}"'),
    "cwd": (as_text, '"server"'),
    "env": (_as_variables, '{ PORT = "{port}" }'),
    "ready": (_as_ready, f'"/health", or "{FIRST_ANSWER}"'),
    "timeout": (as_seconds, '"2m"'),
    "dialect": (as_choice(*DIALECTS), '"openai"'),
    "stop-signal": (_as_signal, '"SIGINT"'),
    "stop-timeout": (as_pause, '"10s"'),
    "setup": (_as_commands, '["uv sync"]'),
    "port": (_as_port, "8880"),
}
"""Key → its reader, and an example."""
