"""Any server of `POST /v1/audio/speech` as an engine, measured as a client sees it.

Each read from the socket that completes frames is one chunk, stamped before it is decoded. Redirects are not followed,
proxies of the environment are not used, and no request is repeated.
"""

import json
import math
import platform
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.core.records.repetition import EngineFacts, ServerFigures
from harness.engines.builds import installed_versions
from harness.engines.http.connection import Connection
from harness.engines.http.dialects import DIALECTS, Dialect, wanted_dialect
from harness.engines.http.errors import EndpointFault
from harness.engines.http.exchange import Answer
from harness.engines.http.request import Address, HttpRequest
from harness.engines.http.server_process import find_server
from harness.engines.http.target import (
    AUTO,
    Settings,
    Target,
    check_format_known,
    key_header,
    read_address,
    read_settings,
)
from harness.engines.protocol import ARRIVAL, BODY_END, FIRST_BYTE, EngineOrder, ServerProcess, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock


PROBE_BYTES = 1 << 16
STATUS_S = 2.0
"""The time-out (s) for a server's own statistics."""
PATH_HEADERS = ("server", "via", "content-type", "content-encoding", "transfer-encoding", "server-timing", "x-cache")
"""Headers that show the server and the proxies before it; they are kept in the facts."""


class EndpointEngine:
    """A target and the connection to it."""

    def __init__(self, target: Target, *, clock: "Clock", stages: Stages, found: str, server: ServerProcess) -> None:
        self.target = target
        self._clock = clock
        self._stages = stages
        self._connection = Connection(target.address, target.settings, clock=clock, stages=stages)
        self.server = server
        self.facts = _facts(target, found=found, server=server)
        """The options in force and how they were found; after the first answer also its `PATH_HEADERS`."""
        self._path_known = False

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Chunks as they arrive; stamps the moments `FIRST_BYTE`, `ARRIVAL` and `BODY_END`. EndpointFault."""
        if request.is_phonemes:
            raise EngineRefusal("an endpoint takes text, not phonemes")
        exchange, pieces = self._connection.send(self.target.http_request(request))
        try:
            for chunk in pieces:
                self._stages.moment(ARRIVAL, chunk.at_ns)
                yield chunk.audio
        finally:
            self._stamp(exchange.answer)

    def own_figures(self) -> ServerFigures:
        """Every number at the server's /status and at the `state_paths` of its dialect, over separate connections."""
        settings = replace(
            self.target.settings, keep_alive=False, connect_timeout=STATUS_S, idle_timeout=STATUS_S,
            total_timeout=STATUS_S,
        )  # fmt: skip
        clock = self._clock
        connection = Connection(self.target.address, settings, clock=clock, stages=Stages(clock))
        found = []
        for path in (STATUS, *self.target.dialect.state_paths):
            try:
                found.append(read_figures(_exchange(connection, "GET", path, settings), path=path))
            except EndpointFault as fault:
                found.append(ServerFigures(reason=f"{path}: {fault}"))
        figures = tuple(figure for each in found for figure in each.figures)
        return ServerFigures(figures=figures, reason="" if figures else found[0].reason)

    def connect(self) -> None:
        """Connect. EndpointFault if the server cannot be reached."""
        self._connection.connect()

    def close(self) -> None:
        self._connection.close()

    def _stamp(self, answer: Answer) -> None:
        if answer.first_byte_ns is not None:
            self._stages.moment(FIRST_BYTE, answer.first_byte_ns)
        if answer.end_ns is not None:
            self._stages.moment(BODY_END, answer.end_ns)
        if answer.status == 200 and not self._path_known:
            self._path_known = True
            self.facts = replace(self.facts, options=(*self.facts.options, *path_of(answer)))


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> EndpointEngine:
    """Connect to the server and find its dialect. EngineRefusal if either fails."""
    if not order.url:
        raise EngineRefusal("the endpoint engine needs the address of a server: --url http://127.0.0.1:8880")
    address, settings = read_address(order.url), read_settings(order.session_options)
    key_header(settings)
    probing = Connection(address, replace(settings, keep_alive=False), clock=clock, stages=Stages(clock))
    try:
        with stages.stage("probe"):
            dialect, found = settle_dialect(address, settings, probing)
        check_format_known(dialect, settings)
        engine = EndpointEngine(
            Target(address=address, settings=settings, dialect=dialect),
            clock=clock,
            stages=stages,
            found=found,
            server=find_server(address, pid=settings.pid),
        )
        engine.connect()
    except EndpointFault as fault:
        raise EngineRefusal(f"{fault.fault}: {fault}") from fault
    return engine


def settle_dialect(address: Address, settings: Settings, connection: Connection) -> tuple[Dialect, str]:
    """The dialect, and a sentence on how it was found.

    A server that checks its input refuses an empty request and names the missing field, without synthesising anything.
    Otherwise the path of the list of voices shows the dialect.
    """
    if settings.dialect != AUTO:
        return DIALECTS[settings.dialect], "as configured"
    answer = _exchange(connection, "POST", address.path, settings, body=b"{}")
    wanted = wanted_dialect(answer.body) if answer.status in (400, 422) else None
    if wanted is not None:
        return wanted, f"an empty request was refused ({answer.status}) for want of {wanted.text_field!r}"
    offering = [
        dialect
        for dialect in DIALECTS.values()
        if _exchange(connection, "GET", dialect.voices_path, settings).status == 200
    ]
    if len(offering) == 1:
        return offering[0], f"voices are listed at {offering[0].voices_path}"
    raise EngineRefusal(
        f"{address.text} tells no dialect: POST {address.path} answers an empty request with {answer.status}; "
        f"if it is a speech server, say which one it speaks: dialect={' or dialect='.join(DIALECTS)}"
    )


def path_of(answer: Answer) -> tuple[tuple[str, str], ...]:
    """The `PATH_HEADERS` of an answer, and the number of reads in which its body arrived."""
    headers = tuple((f"path.{name}", answer.header(name)) for name in PATH_HEADERS if answer.header(name))
    return (*headers, ("path.reads", str(answer.reads)))


def _exchange(connection: Connection, method: str, path: str, settings: Settings, *, body: bytes = b"") -> Answer:
    """The answer to a request for something other than audio."""
    request = HttpRequest(
        method=method, path=path, body=body, max_bytes=PROBE_BYTES, keep_alive=False, headers=key_header(settings)
    )
    exchange, pieces = connection.send(request)
    for _ in pieces:
        pass
    return exchange.answer


def _facts(target: Target, *, found: str, server: ServerProcess) -> EngineFacts:
    settings = target.settings
    options = {
        "url": target.address.text + target.address.path.partition("?")[0],
        "dialect": target.dialect.name,
        "dialect_found": found,
        "format": settings.format,
        "keep_alive": "on" if settings.keep_alive else "off",
        "server_process": server.found,
    }
    return EngineFacts(
        packages=installed_versions(("h11", "numpy", "soundfile")),
        options=tuple(options.items()),
        sample_rate=settings.sample_rate,
        python=platform.python_version(),
    )


STATUS = "/status"
MOST = 200
"""The most numbers that are kept: some servers list every request."""


def read_figures(answer: Answer, *, path: str = STATUS) -> ServerFigures:
    """The numbers of an answer at `path`, in their order. Their names begin with the path unless it is /status."""
    if answer.status != 200:
        return ServerFigures(reason=f"the server has no {path}: it answers {answer.status}")
    try:
        answered = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ServerFigures(reason=f"{path} holds no JSON")
    found = dict(_numbers(answered, "" if path == STATUS else path.strip("/")))
    kept = tuple(found.items())[:MOST]
    return ServerFigures(figures=kept, reason="" if kept else f"{path} holds no number")


def _numbers(answered: object, path: str) -> Iterator[tuple[str, float]]:
    """(Name, number) of the leaves of objects. Lists are left out, because they hold single events."""
    if isinstance(answered, dict):
        for name, value in answered.items():
            yield from _numbers(value, f"{path}.{name}" if path else str(name))
    elif (
        isinstance(answered, int | float)
        and not isinstance(answered, bool)
        and math.isfinite(answered)
        and abs(answered) < 1e300
    ):
        yield path, float(answered)
