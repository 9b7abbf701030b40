"""Computes what a script's answer sends and when. Pure, so that tests know the expected measurements."""

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.server.mock.script import Answer, End, Freeze, Step
from harness.server.mock.sound import compress, natural_seconds, to_pcm, tone, wav_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """The content of a request; `texts` are the texts in its audio."""

    texts: tuple[str, ...]
    container: str
    stream: bool
    speed: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A chunk of body with its frames of audio, sent `at_ms` after the request. `end` ends the answer early."""

    at_ms: float
    body: bytes = b""
    frames: int = 0
    end: End | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _RawChunk:
    """A chunk before encoding: audio, a WAV header, raw bytes or an early end."""

    at_ms: float
    audio: "NDArray[np.float32] | None" = None
    header: bool = False
    body: bytes = b""
    end: End | None = None


def timeline(answer: Answer, asked: ReceivedRequest) -> Iterator[Sent]:
    """All chunks of an answer. The last item only holds the time at which the answer is complete."""
    chunks = _raw_chunks(answer, asked)
    encoded = _encoded(chunks, answer, asked)
    if answer.gzip:
        encoded = _gzipped(encoded)
    if not streams(answer, asked):
        encoded = _coalesced(encoded, math.inf)
    elif answer.coalesce:
        encoded = _coalesced(encoded, answer.coalesce)
    yield from encoded


def streams(answer: Answer, asked: ReceivedRequest) -> bool:
    """Whether chunks are sent as they are produced. An endless answer is always streamed."""
    return asked.stream or answer.unasked or _endless(answer.steps)


def frozen(at_ms: float, *, arrived_ms: float, freeze: Freeze | None) -> float:
    """The time of an event with a freeze. It was due `at_ms` after a request that arrived `arrived_ms` after the first.

    An event after the beginning of the freeze is delayed by the duration of the freeze.
    """
    if freeze is None:
        return at_ms
    thaw = freeze.at_ms + freeze.for_ms
    if freeze.at_ms <= arrived_ms < thaw:
        return thaw - arrived_ms + at_ms
    crosses = arrived_ms < freeze.at_ms <= arrived_ms + at_ms
    return at_ms + freeze.for_ms if crosses else at_ms


def _flat(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        if step.steps is None:
            yield step
            continue
        done = 0
        while step.repeat == 0 or done < step.repeat:
            yield from _flat(step.steps)
            done += 1


def _endless(steps: Sequence[Step]) -> bool:
    return any(step.steps is not None and (step.repeat == 0 or _endless(step.steps)) for step in steps)


def _raw_chunks(answer: Answer, asked: ReceivedRequest) -> Iterator[_RawChunk]:
    """The steps with their times. The audio of one answer is one continuous tone."""
    now, spoken = 0.0, 0
    rate = answer.sample_rate
    for step in _flat(answer.steps):
        if step.wait_ms is not None:
            now += step.wait_ms
        elif step.wait_share is not None:
            now += step.wait_share * natural_seconds(asked.texts[0], asked.speed) * 1000
        elif step.end is not None:
            yield _RawChunk(at_ms=now, end=step.end)
            return
        elif step.body is not None:
            yield _RawChunk(at_ms=now, body=step.body)
        elif step.header:
            yield _RawChunk(at_ms=now, header=True)
        elif step.silence_ms is not None:
            audio = tone((), first=0, frames=round(step.silence_ms * rate / 1000), sample_rate=rate)
            yield _RawChunk(at_ms=now, audio=audio)
        else:
            seconds = (step.audio_ms or 0) / 1000
            if step.audio_share is not None:
                seconds = step.audio_share * natural_seconds(asked.texts[0], asked.speed)
            frames = round(seconds * rate)
            yield _RawChunk(at_ms=now, audio=tone(asked.texts, first=spoken, frames=frames, sample_rate=rate))
            spoken += frames
    yield _RawChunk(at_ms=now)


def _encoded(chunks: Iterable[_RawChunk], answer: Answer, asked: ReceivedRequest) -> Iterator[Sent]:
    if asked.container in ("mp3", "opus", "flac"):
        yield from _compressed(list(chunks), answer, asked.container)
        return
    size: int | None = None
    if asked.container == "wav" and not streams(answer, asked):
        chunks = list(chunks)
        size = sum(2 * answer.channels * len(chunk.audio) for chunk in chunks if chunk.audio is not None)
    if answer.wav_size >= 0:
        size = answer.wav_size
    waiting = _header(answer, size) if asked.container == "wav" else b""
    for chunk in chunks:
        if chunk.header:
            yield Sent(at_ms=chunk.at_ms, body=waiting)
            waiting = b""
        elif chunk.audio is not None:
            pcm = to_pcm(chunk.audio, answer.channels)
            if answer.wav_pieces and asked.container == "wav":
                waiting = _header(answer, len(pcm))
            body, waiting = waiting + pcm, b""
            yield Sent(at_ms=chunk.at_ms, body=body, frames=len(chunk.audio))
        else:
            yield Sent(at_ms=chunk.at_ms, body=chunk.body, end=chunk.end)


def _header(answer: Answer, size: int | None) -> bytes:
    return wav_header(sample_rate=answer.sample_rate, channels=answer.channels, data_bytes=size)


def _compressed(chunks: Sequence[_RawChunk], answer: Answer, container: str) -> Iterator[Sent]:
    """Encode the whole audio, then split it in proportion: a chunk carries about the audio that it stands for."""
    import numpy as np

    sounding = [chunk.audio for chunk in chunks if chunk.audio is not None]
    joined = np.concatenate(sounding) if sounding else np.empty(0, dtype=np.float32)
    body = b""
    if len(joined):
        body = compress(joined, container=container, sample_rate=answer.sample_rate, channels=answer.channels)
    spoken = cut = 0
    for chunk in chunks:
        if chunk.audio is None:
            yield Sent(at_ms=chunk.at_ms, body=chunk.body, end=chunk.end)
            continue
        spoken += len(chunk.audio)
        upto = len(body) * spoken // len(joined)
        yield Sent(at_ms=chunk.at_ms, body=body[cut:upto], frames=len(chunk.audio))
        cut = upto


def _gzipped(sent: Iterable[Sent]) -> Iterator[Sent]:
    """Compress without a flush before the end, as careless middleware does."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    held = 0
    waiting: Sent | None = None
    for each in sent:
        if waiting is not None:
            body = packer.compress(waiting.body)
            held += waiting.frames
            if body:
                yield replace(waiting, body=body, frames=held)
                held = 0
        waiting = each
    if waiting is not None:
        last = packer.compress(waiting.body) + packer.flush()
        yield replace(waiting, body=last, frames=held + waiting.frames)


def _coalesced(sent: Iterable[Sent], limit: float) -> Iterator[Sent]:
    """Hold chunks back until `limit` bytes are ready or the answer ends."""
    body, frames = b"", 0
    last: Sent | None = None
    for each in sent:
        body, frames = body + each.body, frames + each.frames
        if len(body) >= limit or each.end is not None:
            yield replace(each, body=body, frames=frames)
            body, frames = b"", 0
            last = None
        else:
            last = each
    if last is not None:
        yield replace(last, body=body, frames=frames)
