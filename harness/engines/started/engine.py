"""The engine of a server that the harness starts: the server's process, and the client that measures it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.core.records.repetition import EngineFacts, ServerFigures
from harness.engines.http.engine import EndpointEngine
from harness.engines.http.engine import start as connect
from harness.engines.http.errors import EndpointFault
from harness.engines.http.target import Target
from harness.engines.protocol import EngineOrder, ServerProcess, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest
from harness.engines.started.server import BUSY, StartedServer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

FOUND = "started for this launch"
ELSEWHERE = "unknown: none of the processes that were started listens at the port, as if it were a container's"
AT_EACH_START = ("url", "server_process")
"""Facts of the client that differ at each start, or that this engine knows better."""


class StartedEngine:
    """A started server and the connection to it."""

    def __init__(self, server: StartedServer, client: EndpointEngine, *, name: str, root: int | None) -> None:
        self._started = server
        self._client = client
        self.server = ServerProcess(pid=root, found=FOUND if root else ELSEWHERE)
        self._own = (("url", name), ("server_process", self.server.found))
        self._has_answered = False

    @property
    def facts(self) -> EngineFacts:
        """The client's, with the server's name in place of the address of this launch."""
        facts = self._client.facts
        options = tuple(each for each in facts.options if each[0] not in AT_EACH_START)
        return replace(facts, options=(*self._own, *options))

    @property
    def target(self) -> Target:
        return self._client.target

    def own_figures(self) -> ServerFigures:
        return self._client.own_figures()

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Chunks as they come. EndpointFault; if the server has ended, it says how, with its last lines.

        Until the server has answered once, a request that it refuses because it still starts is sent again: some
        servers look at the request first and at their model afterwards, and seem ready before they are.
        """
        while True:
            try:
                for chunk in self._client.synthesise(request):
                    self._has_answered = True
                    yield chunk
            except EndpointFault as fault:
                if ended := self._started.why_ended():
                    raise EndpointFault(fault.fault, f"{fault}; {ended}", status=fault.status) from fault
                if self._has_answered or fault.status not in BUSY or not self._started.may_still_start():
                    raise
            else:
                return

    def close(self) -> None:
        """Close the connection and stop the server."""
        self._client.close()
        self._started.close()


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> StartedEngine:
    """Start the server, in the parts "listening" and "ready", and connect to it. EngineRefusal."""
    if order.server is None:
        raise EngineRefusal("no command of a server was given")
    server = StartedServer(order.server, clock=clock)
    try:
        server.start(stages)
        root = server.root()
        options = {**order.session_options, **({"pid": str(root)} if root else {})}
        client = connect(replace(order, url=server.address, session_options=options), clock=clock, stages=stages)
    except BaseException:
        server.close()
        raise
    return StartedEngine(server, client, name=order.url, root=root)
