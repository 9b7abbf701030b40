"""Alert targets: a webhook, an Apprise URL, a file, a command. If one fails, the others still get the alert."""

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, Final

from harness.core.errors import BenchError, ConfigError
from harness.core.files import append_whole
from harness.core.records.suspect import SuspectKind
from harness.core.user_paths import user_path

TIMEOUT_S: Final = 15.0
REPEATED: Final = "This may have arrived before: it was not known whether it did."
SEARCHED_BYTES: Final = 4_000_000
"""The end of a file in which a message is looked for that may have been written."""


class AlertError(BenchError):
    """An alert could not be delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One alert in a message: what it is about, and the change as a log-ratio, where it is one.

    `alert` is its number, and `page` the address of its page. `confirmed` is what the duel of the run `duel` has shown:
    confirmed, undecided, not possible; "" without a duel. `confirmation` says so as a sentence. `suspect_kinds` has the
    kind of each of `suspects`. `confirmed_size` is the change that the duel measured, if it confirms one.
    """

    kind: str
    subject: str
    metric: str
    sentence: str
    run: str
    size: float | None
    low: float | None
    high: float | None
    suspects: tuple[str, ...]
    confirmed: str = ""
    confirmation: str = ""
    duel: str = ""
    suspect_kinds: tuple[SuspectKind, ...] = ()
    confirmed_size: float | None = None
    confirmed_low: float | None = None
    confirmed_high: float | None = None
    alert: int = 0
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The content of an alert: `text` is the whole alert, for chat programs.

    `event` is "alert", "improvement" or how alerts ended. `id` is the same whenever the message is sent; `repeated`
    says that it may have arrived before.
    """

    event: str
    subject: str
    text: str
    run: str
    machine: str
    job: str
    link: str
    alerts: tuple[Line, ...]
    id: str = ""
    repeated: bool = False

    def as_json(self) -> str:
        """One line."""
        return json.dumps({"product": "kokoro-bench", **asdict(self)}, ensure_ascii=False)

    @property
    def for_people(self) -> str:
        """The text, for a target that shows nothing else."""
        return f"{self.text}\n{REPEATED}" if self.repeated else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """An alert target. Neither `name`, which appears in messages, nor `key`, which is stored, contains a secret.

    `has` says whether a message that may have been sent is known to have arrived.
    """

    name: str
    send: Callable[[Message], None]
    has: Callable[[Message], bool] = lambda _message: False
    key: str = ""


def channels(
    declared: Sequence[str], *, root: Path, environment: Mapping[str, str] = os.environ
) -> tuple[Channel, ...]:
    """The channels of a list of texts; ConfigError for one that cannot be meant. Files are below `root`.

    `file:PATH` appends JSON lines; `command:PROGRAM ARGUMENT…` gets the JSON on standard input; `http(s)://…` is posted
    to; everything else, or what begins with `apprise:`, is Apprise's. `${NAME}` is taken from the environment.
    """
    return tuple(
        replace(_channel(_filled(text, environment), text, root), key=hashlib.sha256(text.encode()).hexdigest()[:16])
        for text in dict.fromkeys(declared)
    )


def tell(channels: Sequence[Channel], message: Message) -> str:
    """Send to every channel. Returns the errors, or ""."""
    troubles = []
    for channel in channels:
        try:
            channel.send(message)
        except BenchError as error:
            troubles.append(f"{channel.name}: {error.what}")
        except Exception as error:  # noqa: BLE001 - whatever a channel's library raises must not cost a run
            troubles.append(f"{channel.name}: {type(error).__name__}")
    return "; ".join(troubles)


def _channel(text: str, declared: str, root: Path) -> Channel:
    kind, _, rest = text.partition(":")
    if kind == "file" and rest:
        path = user_path(rest, base=root, where="alerts")
        return Channel(
            name=f"file {rest}",
            send=lambda message: _append(path, message),
            has=lambda message: _has_line(path, message),
        )
    if kind == "command" and rest:
        try:
            command = shlex.split(rest)
        except ValueError as error:
            raise ConfigError(f"no command: {error}", where="alerts", remedy="fix its quotes") from error
        return Channel(name=f"command {command[0]}", send=lambda message: _run(command, message, root))
    if kind in ("http", "https") and rest.startswith("//"):
        return Channel(name=f"webhook {_host(text)}", send=lambda message: _post(text, message))
    url = rest if kind == "apprise" else text
    if "://" in url:
        return Channel(name=f"apprise {url.partition(':')[0]}", send=_apprise(url))
    raise ConfigError(
        f"unsupported alert target {declared!r}",
        where="alerts",
        remedy="https://…, file:PATH, command:PROGRAM, or an Apprise URL",
    )


def _filled(text: str, environment: Mapping[str, str]) -> str:
    """Secrets stay out of files that are shared: `${NAME}` is taken from the environment."""
    try:
        return Template(text).substitute({name: value for name, value in environment.items() if value.strip()})
    except KeyError as error:
        missing = error.args[0]
        raise ConfigError(f"the environment has no {missing}", where="alerts", remedy=f"set {missing}") from error
    except ValueError as error:
        raise ConfigError("a $ that names nothing", where="alerts", remedy="write ${NAME}, or $$ for a $") from error


def _host(url: str) -> str:
    """The part of an address that is no secret."""
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or "?"


def _append(path: Path, message: Message) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        append_whole(path, message.as_json().encode() + b"\n", durable=True)
    except OSError as error:
        raise AlertError(error.strerror or str(error)) from error


def _has_line(path: Path, message: Message) -> bool:
    """Whether a file has the line of a message. If it cannot be read, writing to it says why."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - SEARCHED_BYTES))
        return any(json.dumps(message.id).encode() in line and line.endswith(b"}\n") for line in file)
    return False


def _run(command: Sequence[str], message: Message, root: Path) -> None:
    try:
        done = subprocess.run(
            command,
            input=message.as_json(),
            # Whatever the locale is: JSON is UTF-8, and what a command says need not be text at all.
            encoding="utf-8",
            errors="replace",
            cwd=root,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AlertError(f"did not end within {TIMEOUT_S:g} s") from error
    except OSError as error:
        raise AlertError(error.strerror or str(error)) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise AlertError(f"ended with exit code {done.returncode}: {last}")


def _post(url: str, message: Message) -> None:
    import httpx

    try:
        headers = {"content-type": "application/json", "idempotency-key": message.id}
        answer = httpx.post(url, content=message.as_json(), headers=headers, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise AlertError(f"cannot be reached ({type(error).__name__})") from error
    if answer.is_error or answer.is_redirect:
        raise AlertError(f"answered {answer.status_code}")


def _apprise(url: str) -> Callable[[Message], None]:
    """A sender through Apprise; a missing package is reported when the schedule starts, not at the first alert."""
    try:
        import apprise  # type: ignore[import-not-found, unused-ignore]  # an optional package
    except ImportError as error:
        raise ConfigError(
            "Apprise is not installed",
            where=f"alerts, {url.partition(':')[0]}://…",
            remedy="pip install 'kokoro-bench[alerts]'",
        ) from error
    sender: Any = apprise.Apprise()
    if not sender.add(url):
        raise ConfigError("Apprise does not know this address", where=f"alerts, {url.partition(':')[0]}://…")

    def send(message: Message) -> None:
        kind = apprise.NotifyType.WARNING if message.event == "alert" else apprise.NotifyType.SUCCESS
        if not sender.notify(title=message.subject, body=message.for_people, notify_type=kind):
            raise AlertError("could not be delivered")

    return send
