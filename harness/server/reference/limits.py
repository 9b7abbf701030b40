"""Middleware that limits the size of a request's body and the time until it is complete."""

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from harness.core.clock import Clock
    from harness.server.reference.settings import Settings

ARRIVED = "kokoro_bench.arrived_ns"
"""The key in a request's scope of the arrival time of its head, in ns."""
CLOSE_HEADERS = {"Connection": "close"}
"""Closes the connection, because the rest of such a request is not read."""


class RequestLimits:
    """Stamps requests and checks their bodies while they are read."""

    def __init__(self, app: "ASGIApp", *, settings: "Settings", clock: "Clock") -> None:
        self._app = app
        self._settings = settings
        self._clock = clock

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "http":
            scope[ARRIVED] = self._clock.now_ns()
            receive = self._watched(receive)
        await self._app(scope, receive, send)

    def _watched(self, receive: "Receive") -> "Receive":
        """Wrap `receive`. It raises HTTPException if the body is too large or too late."""
        size = 0
        whole = False
        until = self._clock.now_ns() / 1e9 + self._settings.body_timeout_s

        async def watched() -> "Message":
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - self._clock.now_ns() / 1e9))
            except TimeoutError:
                sentence = f"the request was not complete within {self._settings.body_timeout_s:g} s"
                raise HTTPException(408, sentence, headers=CLOSE_HEADERS) from None
            size += len(message.get("body", b""))
            if size > self._settings.max_body:
                raise HTTPException(
                    413, f"the request is larger than {self._settings.max_body} bytes", headers=CLOSE_HEADERS
                )
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return watched
