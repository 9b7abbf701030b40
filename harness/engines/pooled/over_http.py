"""The engine `kokoro-server`: the reference server, started as a process and measured as a client sees it.

It takes the options of `kokoro-sentences`: measured in one run, the two show the cost of HTTP and the network. Memory
and CPU time are the server's.
"""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness.core.comma_lists import join_list
from harness.core.records.repetition import EngineCounters, EngineFacts
from harness.core.subprocesses import command
from harness.engines.http.engine import EndpointEngine
from harness.engines.http.engine import start as connect
from harness.engines.http.target import Target
from harness.engines.pooled.options import CLIENT_OPTIONS, SERVED_OPTIONS
from harness.engines.protocol import EngineOrder, ServerProcess, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

START_S = 240.0
STOP_S = 10.0
POLL_S = 0.02
MOST_REQUESTS = 256
PREFIX = "KOKORO_BENCH_"


class ServedEngine:
    """A server process and the connection to it."""

    def __init__(self, server: "Server", client: EndpointEngine, facts: EngineFacts) -> None:
        self._server = server
        self._client = client
        self._facts = facts

    @property
    def facts(self) -> EngineFacts:
        """The server's facts, with the options of the client."""
        return replace(self._facts, options=(*self._facts.options, *self._client.facts.options))

    @property
    def server(self) -> ServerProcess:
        """The process that was started."""
        return ServerProcess(pid=self._server.pid, found="started by this engine")

    @property
    def target(self) -> Target:
        """The address and the format of the requests."""
        return self._client.target

    def account(self) -> EngineCounters | None:
        """The server's counters since its start; None if it does not report them now."""
        try:
            status = self._server.read("/status")
            cache = status["cache"]
            return EngineCounters(
                routes=tuple((each["name"], each["jobs"]) for each in status["sessions"]),
                **{name: cache[name] for name in ("hits", "misses", "joined", "evicted")},
                cache_bytes=cache["size"],
                cache_limit=cache["limit"],
            )
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return None

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Chunks as they arrive. EndpointFault."""
        return self._client.synthesise(request)

    def close(self) -> None:
        """Close the connection and end the server."""
        self._client.close()
        self._server.stop()


class Server:
    """The process of `kokoro-bench serve`, at a free port of the loopback interface."""

    def __init__(self, order: EngineOrder) -> None:
        self._process = subprocess.Popen(
            command(sys.executable, harness.__path__[0], "harness.cli", _arguments(order)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
            # The configuration in the working directory is not the server's.
            cwd=Path(order.model_path).parent,
        )
        self.url = ""

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def find(self) -> None:
        """Read its address. EngineRefusal if it ended instead; standard error says why."""
        assert self._process.stdout is not None  # noqa: S101 - for the type checker; it was asked for as a pipe
        self.url = self._process.stdout.readline().decode().rpartition(" at ")[2].strip()
        if not self.url:
            self._refuse()

    def await_ready(self, clock: "Clock") -> None:
        """Wait until its sessions are warm. EngineRefusal if it ends first or takes too long."""
        end = clock.now_ns() + round(START_S * 1e9)
        while self._health() != 200:
            if self._process.poll() is not None:
                self._refuse()
            if clock.now_ns() > end:
                raise EngineRefusal(f"the server was not ready within {START_S:g} s")
            clock.sleep(POLL_S)

    def read(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """The JSON at a path."""
        return json.loads(self._get(path)[1])

    def stop(self) -> None:
        """Terminate the process, and kill it if it does not end."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _health(self) -> int:
        try:
            return self._get("/health")[0]
        except OSError:
            return 0

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.url.rpartition("/")[2], timeout=START_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _refuse(self) -> None:
        code = self._process.wait()
        raise EngineRefusal(f"the server ended with exit code {code} before it was ready; its standard error says why")


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> ServedEngine:
    """Start the server, in the parts "session" (until it listens) and "warm_up" (until it is ready), and connect."""
    _check(order)
    server = Server(order)
    try:
        with stages.stage("session"):
            server.find()
        with stages.stage("warm_up"):
            server.await_ready(clock)
        status = server.read("/status")
        if status["fallbacks"]:
            raise EngineRefusal(f"the server fell back to another provider: {status['fallbacks'][0]['reason']}")
        options = {name: order.session_options[name] for name in CLIENT_OPTIONS if name in order.session_options}
        options = {"dialect": "openai", **options, "pid": str(server.pid)}
        client = connect(replace(order, url=server.url, session_options=options), clock=clock, stages=stages)
    except BaseException:
        server.stop()
        raise
    facts = replace(
        client.facts,
        providers=tuple(status["providers"]),
        packages=tuple(sorted({**dict(client.facts.packages), **status["packages"]}.items())),
        options=tuple(status["options"].items()),
    )
    return ServedEngine(server, client, facts)


def _check(order: EngineOrder) -> None:
    from importlib.util import find_spec

    missing = [name for name in ("click", "fastapi", "uvicorn", "soundfile") if find_spec(name) is None]
    if missing:
        raise EngineRefusal(f"not installed in this environment: {', '.join(missing)} (the extra `server`)")
    if not order.model_path:
        raise EngineRefusal("the server needs a model")


def _arguments(order: EngineOrder) -> list[str]:
    """The options of `kokoro-bench serve` for the order."""
    given = dict(order.session_options)
    ours = {name: given.pop(name) for name in SERVED_OPTIONS if name in given}
    arguments = [
        "serve", "--attached", "--port", "0", "--concurrency", str(MOST_REQUESTS),
        "--model", join_list([order.model_path]), "--voices", order.voices_path, "--voice", order.voice,
        "--provider", order.provider, "--threads", str(order.threads), "--seed", str(order.seed),
        "--sessions", ours.get("sessions", "1"),
        "--cache", ours.get("cache", "0"), "--cache-ttl", ours.get("cache_ttl", "3600"),
        "--warm-up" if ours.get("warm_up", "on") == "on" else "--no-warm-up",
    ]  # fmt: skip
    for option, pairs in (("--session-options", given), ("--provider-options", order.provider_options)):
        if pairs:
            arguments += [option, join_list(f"{name}={value}" for name, value in pairs.items())]
    return arguments
