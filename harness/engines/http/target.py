"""The target of HTTP requests: an address, the dialect, and the options of an arm with a URL."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from harness.engines.http.dialects import DIALECTS, SAMPLE_RATE, Dialect
from harness.engines.http.request import Address, HttpRequest
from harness.engines.option_values import read_choice, read_switch
from harness.engines.protocol import Remote
from harness.engines.speech import EngineRefusal, SpeechRequest

SPEECH_PATH = "/audio/speech"
FORMATS = ("pcm", "wav", "mp3", "opus", "flac")
AUTO = "auto"

ENDPOINT_OPTIONS: Mapping[str, str] = {
    "dialect": "openai, raycast, or auto: asked of the server by an empty request, which it refuses",
    "format": f"{', '.join(FORMATS)}",
    "stream": "on or off; without it a scenario's mode decides",
    "keep_alive": "on: one connection for all requests; off: a new one for each, whose making counts",
    "connect_timeout": "seconds for resolving the name, connecting and TLS",
    "idle_timeout": "seconds without a byte",
    "total_timeout": "seconds for a whole answer",
    "max_bytes": "a body larger than this is refused",
    "sample_rate": "Hz that the audio has to have",
    "model": "what the openai dialect names as its model",
    "leave_out": "fields that requests must not have, joined by +, such as stream+lang_code",
    "key_from": "environment variable with a key that is sent as a bearer token",
    "pid": "process whose tree is the server, for its memory and CPU time",
}
"""Every option of an arm with a URL, and the values that it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parsed options. Times are in seconds; `stream` None leaves it to the scenario; `pid` 0 is unknown."""

    dialect: str = AUTO
    format: str = "pcm"
    stream: bool | None = None
    keep_alive: bool = True
    connect_timeout: float = 5.0
    idle_timeout: float = 30.0
    total_timeout: float = 300.0
    max_bytes: int = 1 << 26
    sample_rate: int = SAMPLE_RATE
    model: str = "kokoro"
    leave_out: tuple[str, ...] = ()
    key_from: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address with the settings and the dialect of the requests."""

    address: Address
    settings: Settings
    dialect: Dialect

    def http_request(self, request: SpeechRequest) -> HttpRequest:
        settings = self.settings
        stream = request.stream if settings.stream is None else settings.stream
        return HttpRequest(
            method="POST",
            path=self.address.path,
            body=self.dialect.body(
                request,
                container=settings.format,
                stream=stream,
                model=settings.model,
                leave_out=settings.leave_out,
            ),
            dialect=self.dialect,
            left_out=settings.leave_out,
            container=settings.format,
            sample_rate=settings.sample_rate,
            max_bytes=settings.max_bytes,
            keep_alive=settings.keep_alive,
            headers=key_header(settings),
        )


def read_address(url: str) -> Address:
    """The address of `url`. A path that does not end in /audio/speech is taken as its base. EngineRefusal."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EngineRefusal(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EngineRefusal(f"{url!r} is no URL of an endpoint: it looks like http://127.0.0.1:8880")
    if parts.username is not None or parts.password is not None:
        raise EngineRefusal("the URL holds credentials, which would be stored: use the option key_from instead")
    path = parts.path.rstrip("/")
    if not path.endswith(SPEECH_PATH):
        path = (path if path.endswith("/v1") else f"{path}/v1") + SPEECH_PATH
    host = parts.hostname
    named = f"[{host}]" if ":" in host else host
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port or (443 if parts.scheme == "https" else 80),
        path=path + (f"?{parts.query}" if parts.query else ""),
        host_header=named if port is None else f"{named}:{port}",
    )


def read_settings(options: Mapping[str, str]) -> Settings:
    """The options of an arm. EngineRefusal for an unknown name or an invalid value."""
    known = {field.name for field in fields(Settings)}
    for name in options:
        if name not in known:
            raise EngineRefusal(f"unknown endpoint option {name!r}; known: {', '.join(ENDPOINT_OPTIONS)}")
    # Each reader gives its field's type, which a mapping cannot tell the type checker.
    read: dict[str, Any] = {name: _READERS.get(name, _text)(name, value) for name, value in options.items()}
    settings = Settings(**read)
    if settings.dialect != AUTO:
        check_format_known(DIALECTS[settings.dialect], settings)
    return settings


def check_options(options: Mapping[str, str]) -> None:
    """EngineRefusal for options that make no sense, and for a key that the environment does not have."""
    key_header(read_settings(options))


def check_format_known(dialect: Dialect, settings: Settings) -> None:
    """EngineRefusal if the dialect lacks the format, or a field to leave out."""
    for name in settings.leave_out:
        if name not in dialect.fields:
            raise EngineRefusal(
                f"the dialect {dialect.name} has no field {name!r} to leave out; it has {', '.join(dialect.fields)}"
            )
    if settings.format not in dialect.formats:
        raise EngineRefusal(
            f"the dialect {dialect.name} has no format {settings.format!r}; it has {', '.join(dialect.formats)}"
        )


def key_header(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The header with the key, if one is configured. It is read from the environment, so that no record holds it."""
    if not settings.key_from:
        return ()
    key = os.environ.get(settings.key_from, "")
    if not key:
        raise EngineRefusal(f"the environment variable {settings.key_from} that key_from names is not set")
    return (("Authorization", f"Bearer {key}"),)


def _text(name: str, value: str) -> str:
    del name
    return value


def _one_of(*allowed: str) -> Callable[[str, str], str]:
    return lambda name, value: read_choice(f"endpoint option {name}", value, allowed)


def _fields(name: str, value: str) -> tuple[str, ...]:
    """Names of fields, joined by "+"."""
    found = tuple(dict.fromkeys(part.strip() for part in value.split("+") if part.strip()))
    known = sorted({field for dialect in DIALECTS.values() for field in dialect.fields})
    for each in found:
        if each not in known:
            raise EngineRefusal(f"endpoint option {name} has no field {each!r}; a request has {', '.join(known)}")
    return found


def _switch(name: str, value: str) -> bool:
    return read_switch(f"endpoint option {name}", value)


def _positive(kind: type[int] | type[float]) -> Callable[[str, str], float]:
    def read(name: str, value: str) -> float:
        try:
            number = kind(value)
        except ValueError:
            number = 0
        if not 0 < number < 1e12:
            raise EngineRefusal(f"endpoint option {name} takes a positive number, not {value!r}")
        return number

    return read


_READERS: Mapping[str, Callable[[str, str], object]] = {
    "dialect": _one_of(AUTO, *DIALECTS),
    "format": _one_of(*FORMATS),
    "stream": _switch,
    "keep_alive": _switch,
    "connect_timeout": _positive(float),
    "idle_timeout": _positive(float),
    "total_timeout": _positive(float),
    "max_bytes": _positive(int),
    "sample_rate": _positive(int),
    "pid": _positive(int),
    "leave_out": _fields,
}


@runtime_checkable
class Reached(Remote, Protocol):
    """An engine whose requests go to a server, which accepts several at once."""

    @property
    def target(self) -> Target: ...
