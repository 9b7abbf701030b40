"""One answer: from a request that makes sense to the last byte of its audio, or to why there is none.

Nothing is sent before there is audio to send, so that what fails still gets its status. Whoever hangs up, or does not
take what is sent, is let go of at once, and what was still to be spoken for them is dropped.
"""

import asyncio
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

from harness.engines.pooled.cache import Source
from harness.engines.pooled.synthesizer import SAMPLE_RATE
from harness.engines.speech import SpeechFailure
from harness.server.mock.sound import content_type
from harness.server.reference.encoding import Encoder, make_encoder
from harness.server.reference.errors import refusal
from harness.server.reference.limits import ARRIVED
from harness.server.reference.request_record import RequestRecorder
from harness.server.reference.service import Unavailable
from harness.server.reference.statistics import Became

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import numpy as np
    from numpy.typing import NDArray
    from starlette.types import Receive, Scope, Send

    from harness.engines.pooled.synthesizer import Answer, Synthesizer
    from harness.server.reference.requests import Spoken
    from harness.server.reference.service import Service

SENT_AT_ONCE = 1 << 15
"""Bytes: a slow listener keeps no more than that, and what the system buffers, waiting in the server."""
SAMPLE_BYTES = 2


class SlowClient(Exception):  # noqa: N818 - it is an outcome, not an accident
    """What was sent was not taken."""


class SpeechResponse(Response):
    """Speaks when it is called; everything that goes wrong before the first audio becomes an answer of its own."""

    def __init__(self, service: "Service", spoken: "Spoken") -> None:
        super().__init__()
        self._service = service
        self._spoken = spoken

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer, unless the listener goes before."""
        work = asyncio.ensure_future(self._answer(scope, receive, send))
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                self._service.statistics.count(Became.HUNG_UP)
                return
            await work
        finally:
            work.cancel()
            gone.cancel()

    async def _answer(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """The answer, or its refusal."""
        statistics = self._service.statistics
        client = scope["client"][0] if scope.get("client") else ""
        try:
            with self._service.seat(client) as speaker:
                reply = await self._speak(speaker, scope, send)
        except Unavailable as busy:
            statistics.count(Became.BUSY)
            reply = refusal(busy.status, str(busy), headers={"Retry-After": str(busy.retry_s)})
        if reply is not None:
            await reply(scope, receive, send)

    async def _speak(self, speaker: "Synthesizer", scope: "Scope", send: "Send") -> Response | None:
        """Send the audio; a reply instead where there is none."""
        statistics = self._service.statistics
        hearing = RequestRecorder(arrived_ns=scope[ARRIVED], clock=self._service.clock)
        delivery = _Delivery(self._service, self._spoken, hearing, send)
        try:
            answer = await asyncio.to_thread(speaker.speak, self._spoken.request)
            with closing(answer):
                await self._deliver(answer, hearing, delivery)
        except SpeechFailure as failure:
            statistics.count(Became.REFUSED)
            return refusal(422, [{"type": failure.fault, "loc": ["body"], "msg": str(failure)}])
        except SlowClient:
            statistics.count(Became.SLOW)
            return None
        except Exception as error:  # noqa: BLE001 - whatever the engine raises becomes a status, or a cut answer
            statistics.count(Became.FAILED)
            if delivery.begun:
                # Returning without the end of the body has the connection closed, which is how a listener hears of it.
                return None
            late = isinstance(error, TimeoutError)
            reason = "the engine took too long" if late else f"the engine failed: {type(error).__name__}"
            return refusal(504 if late else 500, reason)
        cached = bool(answer.sources) and all(source is Source.HIT for source in answer.sources)
        characters = len(self._spoken.request.text)
        statistics.record(hearing.repetition(characters=characters), cached=cached)
        return None

    async def _deliver(self, answer: "Answer", hearing: RequestRecorder, delivery: "_Delivery") -> None:
        encoder = make_encoder(self._spoken.container, stream=self._spoken.request.stream)
        compressed = self._spoken.container not in ("pcm", "wav")
        async for audio in self._audio(answer):
            hearing.made(audio)
            data = await asyncio.to_thread(encoder.feed, audio) if compressed else encoder.feed(audio)
            await delivery.take(data, frames=len(audio))
        await delivery.end(await _finished(encoder, aside=compressed))

    async def _audio(self, answer: "Answer") -> "AsyncIterator[NDArray[np.float32]]":
        """The parts in order, each when it is there."""
        for part in answer:
            audio = await asyncio.wait_for(asyncio.wrap_future(part.audio), self._service.settings.piece_timeout_s)
            yield part.joined(audio)


class _Delivery:
    """The body on its way out. What is whole is held back and goes at the end, with its length."""

    def __init__(self, service: "Service", spoken: "Spoken", hearing: RequestRecorder, send: "Send") -> None:
        self._service = service
        self._spoken = spoken
        self._hearing = hearing
        self._send = send
        self._held = bytearray()
        self._frames = 0
        self.begun = False

    async def take(self, data: bytes, *, frames: int) -> None:
        """Bytes that hold `frames`, or that will be followed by those that do."""
        self._frames += frames
        if not self._spoken.request.stream:
            self._held += data
        elif data:
            await self._begin(None)
            await self._pass(data, more=True)

    async def end(self, data: bytes) -> None:
        """The rest."""
        if self._spoken.request.stream:
            await self._begin(None)
            await self._pass(data, more=False)
            return
        body = bytes(self._held) + data
        self._held.clear()
        await self._begin(len(body))
        await self._pass(body, more=False)

    async def _begin(self, length: int | None) -> None:
        if self.begun:
            return
        kind = content_type(self._spoken.container, sample_rate=SAMPLE_RATE, channels=1)
        headers = [(b"content-type", kind.encode()), (b"x-provider", self._service.provider_header().encode())]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        self.begun = True
        await self._patiently({"type": "http.response.start", "status": 200, "headers": headers})

    async def _pass(self, data: bytes, *, more: bool) -> None:
        """In slices, each stamped with the frames that it completes; compressed ones complete theirs with the last."""
        plain = self._spoken.container in ("pcm", "wav")
        for first in range(0, len(data), SENT_AT_ONCE):
            piece = data[first : first + SENT_AT_ONCE]
            last = first + SENT_AT_ONCE >= len(data)
            await self._patiently({"type": "http.response.body", "body": piece, "more_body": more or not last})
            frames = self._frames if last else min(self._frames, len(piece) // SAMPLE_BYTES) * plain
            self._frames -= frames
            self._hearing.sent(frames)
        if not data and not more:
            await self._patiently({"type": "http.response.body", "body": b"", "more_body": False})

    async def _patiently(self, message: dict[str, object]) -> None:
        """Send, as long as the listener takes it. SlowListener where they do not."""
        try:
            await asyncio.wait_for(self._send(message), self._service.settings.send_timeout_s)
        except TimeoutError:
            raise SlowClient from None


async def _finished(encoder: Encoder, *, aside: bool) -> bytes:
    return await asyncio.to_thread(encoder.finish) if aside else encoder.finish()


async def _hung_up(receive: "Receive") -> None:
    """Until the connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
