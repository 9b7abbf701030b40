"""Answers a valid speech request with audio, or with the reason for a failure.

Nothing is sent before the first audio, so that a failure still gets its status. If the client disconnects or does not
read, the answer ends at once and the rest of its synthesis is dropped.
"""

import asyncio
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

from harness.engines.kokoro.engine import SAMPLE_RATE
from harness.engines.pooled.cache import Source
from harness.engines.speech import SpeechFailure
from harness.server.mock.sound import content_type
from harness.server.reference.encoding import Encoder, make_encoder
from harness.server.reference.errors import refusal
from harness.server.reference.limits import ARRIVED
from harness.server.reference.request_record import RequestRecorder
from harness.server.reference.service import Unavailable
from harness.server.reference.statistics import RequestOutcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import numpy as np
    from numpy.typing import NDArray
    from starlette.types import Receive, Scope, Send

    from harness.engines.pooled.synthesizer import Answer, Synthesizer
    from harness.server.reference.requests import ParsedRequest
    from harness.server.reference.service import Service

MOST_SENT_BYTES = 1 << 15
"""The largest send in bytes. A slow client holds at most this, plus the system's buffers, in the server."""
SAMPLE_BYTES = 2


class SlowClient(Exception):  # noqa: N818 - it is an outcome, not an accident
    """The client did not read the answer in time."""


class SpeechResponse(Response):
    """A response that synthesises when it is called. A failure before the first audio becomes a refusal."""

    def __init__(self, service: "Service", parsed: "ParsedRequest") -> None:
        super().__init__()
        self._service = service
        self._parsed = parsed

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer, unless the client disconnects first."""
        work = asyncio.ensure_future(self._answer(scope, receive, send))
        gone = asyncio.ensure_future(_await_disconnect(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                self._service.statistics.count(RequestOutcome.HUNG_UP)
                return
            await work
        finally:
            work.cancel()
            gone.cancel()

    async def _answer(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        statistics = self._service.statistics
        client = scope["client"][0] if scope.get("client") else ""
        try:
            with self._service.admit(client) as synthesizer:
                reply = await self._synthesise(synthesizer, scope, send)
        except Unavailable as busy:
            statistics.count(RequestOutcome.BUSY)
            reply = refusal(busy.status, str(busy), headers={"Retry-After": str(busy.retry_s)})
        if reply is not None:
            await reply(scope, receive, send)

    async def _synthesise(self, synthesizer: "Synthesizer", scope: "Scope", send: "Send") -> Response | None:
        """Send the audio. Return a refusal if there is none."""
        statistics = self._service.statistics
        recorder = RequestRecorder(arrived_ns=scope[ARRIVED], clock=self._service.clock)
        delivery = _BodySender(self._service, self._parsed, recorder, send)
        try:
            answer = await asyncio.to_thread(synthesizer.synthesise, self._parsed.request)
            with closing(answer):
                await self._send_audio(answer, recorder, delivery)
        except SpeechFailure as failure:
            statistics.count(RequestOutcome.REFUSED)
            return refusal(422, [{"type": failure.fault, "loc": ["body"], "msg": str(failure)}])
        except SlowClient:
            statistics.count(RequestOutcome.SLOW)
            return None
        except Exception as error:  # noqa: BLE001 - whatever the engine raises becomes a status, or a cut answer
            statistics.count(RequestOutcome.FAILED)
            if delivery.begun:
                # Return without the end of the body: the connection is closed, which shows the client the failure.
                return None
            late = isinstance(error, TimeoutError)
            reason = "the engine took too long" if late else f"the engine failed: {type(error).__name__}"
            return refusal(504 if late else 500, reason)
        cached = bool(answer.sources) and all(source is Source.HIT for source in answer.sources)
        characters = len(self._parsed.request.text)
        statistics.record(recorder.repetition(characters=characters), cached=cached)
        return None

    async def _send_audio(self, answer: "Answer", recorder: RequestRecorder, delivery: "_BodySender") -> None:
        encoder = make_encoder(self._parsed.container, stream=self._parsed.request.stream)
        compressed = self._parsed.container not in ("pcm", "wav")
        async for audio in self._audio(answer):
            recorder.made(audio)
            data = await asyncio.to_thread(encoder.feed, audio) if compressed else encoder.feed(audio)
            await delivery.take(data, frames=len(audio))
        await delivery.end(await _finish_encoder(encoder, in_thread=compressed))

    async def _audio(self, answer: "Answer") -> "AsyncIterator[NDArray[np.float32]]":
        """The audio of the parts, in order, as they are ready."""
        for segment in answer:  # each is waited for before the next, as windows require
            audio = await asyncio.wait_for(asyncio.wrap_future(segment.audio), self._service.settings.piece_timeout_s)
            yield segment.joined(audio)


class _BodySender:
    """Sends the body. Without streaming it holds the body back and sends it at the end, with its length."""

    def __init__(self, service: "Service", parsed: "ParsedRequest", recorder: RequestRecorder, send: "Send") -> None:
        self._service = service
        self._parsed = parsed
        self._recorder = recorder
        self._send = send
        self._held = bytearray()
        self._frames = 0
        self.begun = False

    async def take(self, data: bytes, *, frames: int) -> None:
        """Take encoded bytes of `frames` more frames; their bytes may come later."""
        self._frames += frames
        if not self._parsed.request.stream:
            self._held += data
        elif data:
            await self._begin(None)
            await self._send_body(data, more=True)

    async def end(self, data: bytes) -> None:
        if self._parsed.request.stream:
            await self._begin(None)
            await self._send_body(data, more=False)
            return
        body = bytes(self._held) + data
        self._held.clear()
        await self._begin(len(body))
        await self._send_body(body, more=False)

    async def _begin(self, length: int | None) -> None:
        if self.begun:
            return
        kind = content_type(self._parsed.container, sample_rate=SAMPLE_RATE, channels=1)
        headers = [(b"content-type", kind.encode()), (b"x-provider", self._service.provider_header().encode())]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        self.begun = True
        await self._send_in_time({"type": "http.response.start", "status": 200, "headers": headers})

    async def _send_body(self, data: bytes, *, more: bool) -> None:
        """Send bytes in slices, each with the frames it completes. Compressed frames count with the last slice."""
        plain = self._parsed.container in ("pcm", "wav")
        for first in range(0, len(data), MOST_SENT_BYTES):
            chunk = data[first : first + MOST_SENT_BYTES]
            last = first + MOST_SENT_BYTES >= len(data)
            await self._send_in_time({"type": "http.response.body", "body": chunk, "more_body": more or not last})
            frames = self._frames if last else min(self._frames, len(chunk) // SAMPLE_BYTES) * plain
            self._frames -= frames
            self._recorder.sent(frames)
        if not data and not more:
            await self._send_in_time({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_in_time(self, message: dict[str, object]) -> None:
        """Send a message. Raises SlowClient if the client does not read it in time."""
        try:
            await asyncio.wait_for(self._send(message), self._service.settings.send_timeout_s)
        except TimeoutError:
            raise SlowClient from None


async def _finish_encoder(encoder: Encoder, *, in_thread: bool) -> bytes:
    return await asyncio.to_thread(encoder.finish) if in_thread else encoder.finish()


async def _await_disconnect(receive: "Receive") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
