"""The engine `kokoro-server`: the reference server, started as a process and measured as a client sees it.

It takes the options of `kokoro-sentences`: measured in one run, the two show the cost of HTTP and the network. Memory
and CPU time are the server's.
"""

import http.client
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness.core.comma_lists import join_list
from harness.core.records.repetition import EngineCounters, EngineFacts
from harness.core.subprocesses import command as module_command
from harness.engines.http.engine import EndpointEngine
from harness.engines.http.engine import start as connect
from harness.engines.http.target import Target
from harness.engines.option_values import read_switch
from harness.engines.pooled.options import CLIENT_OPTIONS, DIALECT, SERVED_OPTIONS
from harness.engines.pooled.splitter import Plan
from harness.engines.protocol import EngineOrder, ServerProcess, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest
from harness.engines.started.command import PORT, ServerCommand
from harness.engines.started.server import StartedServer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

START_S = 240.0
PARTS = "session", "warm_up"
"""The parts of its start: until it listens, and from then until it is ready."""
MOST_REQUESTS = 256
PREFIX = "KOKORO_BENCH_"


class ServedEngine:
    """A server process and the connection to it."""

    def __init__(self, server: StartedServer, client: EndpointEngine, facts: EngineFacts, *, scratch: str) -> None:
        """`scratch` is a folder to remove at the end, "" for none."""
        self._server = server
        self._scratch = scratch
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
        self._server.close()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> ServedEngine:
    """Start the server, in the parts "session" (until it listens) and "warm_up" (until it is ready), and connect.

    Its log is kept in the order's folder. If the order names none, the log goes with the engine.
    """
    _check(order)
    scratch = "" if order.logs else tempfile.mkdtemp(prefix="kokoro-server-")
    server = StartedServer(_command(order, Path(order.logs or scratch)), clock=clock)
    try:
        server.start(stages, parts=PARTS)
        status = server.read("/status")
        if status["fallbacks"]:
            raise EngineRefusal(f"the server fell back to another provider: {status['fallbacks'][0]['reason']}")
        options = {name: order.session_options[name] for name in CLIENT_OPTIONS if name in order.session_options}
        options = {"dialect": DIALECT, **options, "pid": str(server.pid)}
        client = connect(replace(order, url=server.address, session_options=options), clock=clock, stages=stages)
    except BaseException:
        server.close()
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    facts = replace(
        client.facts,
        providers=tuple(status["providers"]),
        packages=tuple(sorted({**dict(client.facts.packages), **status["packages"]}.items())),
        options=tuple(status["options"].items()),
    )
    return ServedEngine(server, client, facts, scratch=scratch)


def _check(order: EngineOrder) -> None:
    from importlib.util import find_spec

    missing = [name for name in ("click", "fastapi", "uvicorn", "soundfile") if find_spec(name) is None]
    if missing:
        raise EngineRefusal(f"not installed in this environment: {', '.join(missing)} (the extra `server`)")
    if not order.model_path:
        raise EngineRefusal("the server needs a model")


def _command(order: EngineOrder, logs: Path) -> ServerCommand:
    return ServerCommand(
        name="kokoro-server",
        command=tuple(module_command(sys.executable, harness.__path__[0], "harness.cli", _arguments(order))),
        # The configuration in the working directory, and that in the environment, are not the server's.
        cwd=str(Path(order.model_path).parent),
        inherited={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
        ready="/health",
        timeout_s=START_S,
        logs=str(logs),
    )


def _arguments(order: EngineOrder) -> list[str]:
    """The options of `kokoro-bench serve` for the order."""
    given = dict(order.session_options)
    ours = {name: given.pop(name) for name in SERVED_OPTIONS if name in given}
    arguments = [
        "serve", "--port", PORT, "--concurrency", str(MOST_REQUESTS),
        "--model", join_list([order.model_path]), "--voices", order.voices_path, "--voice", order.voice,
        "--provider", order.provider, "--threads", str(order.threads), "--seed", str(order.seed),
        "--sessions", ours.get("sessions", "1"),
        "--cache", ours.get("cache", "0"), "--cache-ttl", ours.get("cache_ttl", "3600"),
        # Not measured at the start: the audio of an arm does not depend on the machine.
        "--planned-rtf", ours.get("planned_rtf", f"{Plan().rtf:g}"), "--window", ours.get("window", "0"),
        "--warm-up" if read_switch("option warm_up", ours.get("warm_up", "on")) else "--no-warm-up",
    ]  # fmt: skip
    arguments += ["--first", ours["first"]] if "first" in ours else []
    for option, pairs in (("--session-options", given), ("--provider-options", order.provider_options)):
        if pairs:
            arguments += [option, join_list(f"{name}={value}" for name, value in pairs.items())]
    return arguments
