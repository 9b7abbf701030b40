"""One request and its answer over HTTP/1.1, without I/O: bytes and their stamps in, audio and faults out.

The engine drives it over a blocking socket, and the load client over an event loop, so that both treat the same bytes
alike. h11 returns every part of a body as it arrives and joins none.
"""

import json
import zlib
from ast import literal_eval
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import h11

from harness.engines.http.decoders import make_decoder
from harness.engines.http.errors import EndpointFault, Fault, excerpt, status_fault
from harness.engines.http.formats import HEADER_LIMIT, KEPT, Decoder
from harness.engines.http.refusals import refusal
from harness.engines.http.request import Address, HttpRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.engines.http.target import Settings

READ_SIZE = 1 << 16
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
"""zlib tells the two apart by their headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioChunk:
    """Audio, float32 of shape (frames,), that could be played from `at_ns` on."""

    at_ns: int
    audio: "NDArray[np.float32]"


class Inflater(Protocol):
    """Decodes a content coding."""

    @property
    def eof(self) -> bool:
        """Whether the coded data have come to their end."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The bytes after that end."""
        ...

    def decompress(self, data: bytes, /) -> bytes:
        """The decoded bytes that `data` completes."""
        ...


@dataclass(slots=True)
class Answer:
    """The answer so far. `headers` have lower-case names; `body` is the beginning of the body.

    `bytes` and `reads` count the body as it arrived, before a content coding is undone.
    """

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    bytes: int = 0
    first_byte_ns: int | None = None
    end_ns: int | None = None
    reads: int = 0

    def header(self, name: str) -> str:
        """A header's value, "" where there is none."""
        return next((value for known, value in self.headers if known == name), "")


@dataclass(slots=True)
class Exchange:
    """One request and its answer. `done` is True once the answer is complete; every other end is an EndpointFault.

    It does not depend on a connection, so that the load client can prepare it, with its `request_bytes`, before it is
    due.
    """

    address: Address
    request: HttpRequest
    answer: Answer = field(default_factory=Answer)
    done: bool = False
    connection: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    _decoder: Decoder | None = None
    _inflater: Inflater | None = None
    _pending: list[tuple[int, int]] = field(default_factory=list)

    def request_bytes(self) -> bytes:
        """The whole request. Call it once."""
        headers = [
            ("Host", self.address.host_header),
            ("User-Agent", "kokoro-bench"),
            # A server that compresses also collects chunks. One that does so in spite of this is recorded.
            ("Accept-Encoding", "identity"),
            ("Content-Length", str(len(self.request.body))),
            *self.request.headers,
        ]
        if self.request.body:
            headers.append(("Content-Type", "application/json"))
        if not self.request.keep_alive:
            headers.append(("Connection", "close"))
        request = h11.Request(method=self.request.method, target=self.request.path, headers=headers)
        parts = [self.connection.send(request), self.connection.send(h11.Data(data=self.request.body))]
        parts.append(self.connection.send(h11.EndOfMessage()))
        return b"".join(part or b"" for part in parts)

    def receive(self, data: bytes, at_ns: int) -> list[AudioChunk]:
        """The audio that one read from the network completes; `data` is b"" if the server has closed its side."""
        if data and not self.answer.status and data[:2] == b"\x15\x03":
            raise EndpointFault(
                Fault.TLS, f"{self.address.text} answers in TLS, not in plain HTTP: the address begins with https://"
            )
        pieces: list[bytes] = []
        try:
            self.connection.receive_data(data)
            self._read_events(pieces, at_ns)
        except h11.RemoteProtocolError as error:
            raise self._broken(error, ended=not data) from error
        chunks = self._decode(b"".join(pieces), at_ns) if pieces else []
        if self.done:
            self.answer.end_ns = at_ns
            chunks += self._finish(at_ns)
        return chunks

    def lost(self, error: OSError) -> EndpointFault:
        """The fault of a connection that broke before the answer was complete."""
        how = "was reset" if isinstance(error, ConnectionResetError) else f"broke ({error.strerror or error})"
        return self._cut(f"the connection {how}")

    def timed_out(self, settings: "Settings", *, whole: bool) -> EndpointFault:
        """The fault of an answer that took too long as a `whole`, or since its last byte."""
        came = f"{self.answer.bytes} bytes of body had come"
        if whole:
            total = settings.total_timeout
            return EndpointFault(Fault.TIMEOUT_TOTAL, f"the answer was not complete within {total:g} s; {came}")
        return EndpointFault(Fault.TIMEOUT_IDLE, f"not a byte for {settings.idle_timeout:g} s; {came}")

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request."""
        return (
            self.done
            and self.connection.our_state is h11.DONE
            and self.connection.their_state is h11.DONE
            # No bytes follow the answer, and the server has not closed its side.
            and self.connection.trailing_data == (b"", False)
        )

    def _read_events(self, pieces: list[bytes], at_ns: int) -> None:
        while True:
            event = self.connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Response):
                self._begin(event)
            elif isinstance(event, h11.Data):
                if event.data:
                    self._note(bytes(event.data), at_ns)
                    pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.done = True
                return
            elif isinstance(event, h11.ConnectionClosed):
                raise self._cut("the connection was closed")

    def _begin(self, response: h11.Response) -> None:
        """Read the head of the answer. EndpointFault if it shows already that the answer is none."""
        headers = tuple((name.decode("ascii").lower(), value.decode("latin-1")) for name, value in response.headers)
        self.answer.status, self.answer.headers = response.status_code, headers
        if 300 <= response.status_code < 400:
            raise EndpointFault(
                Fault.REDIRECT,
                f"{self.address.text} redirects to {self.answer.header('location') or 'nowhere'} "
                f"({response.status_code}); only the given address is contacted: give the other one if it is meant",
                status=response.status_code,
            )
        announced = self.answer.header("content-length")
        if announced.isdecimal() and int(announced) > self.request.max_bytes:
            raise self._too_large(f"{announced} bytes are announced")
        coding = self.answer.header("content-encoding").strip().lower()
        if coding in ("gzip", "x-gzip", "deflate"):
            self._inflater = zlib.decompressobj(wbits=GZIP_OR_ZLIB)
        elif coding not in ("", "identity"):
            raise EndpointFault(Fault.NOT_AUDIO, f"the body is coded as {coding!r}, which was not asked for")
        if self.request.container and response.status_code == 200:
            self._expect_audio()

    def _expect_audio(self) -> None:
        kind = self.answer.header("content-type").partition(";")[0].strip().lower()
        if kind and not kind.startswith("audio/") and kind not in ("application/octet-stream", "application/ogg"):
            return
        for name, value in _parameters(self.answer.header("content-type")):
            expected = {"rate": self.request.sample_rate, "channels": 1}.get(name)
            if expected is not None and value != str(expected):
                raise EndpointFault(
                    Fault.FORMAT, f"the answer is announced with {name}={value}, expected was {name}={expected}"
                )
        self._decoder = make_decoder(
            self.request.container, sample_rate=self.request.sample_rate, limit=self.request.max_bytes
        )

    def _note(self, data: bytes, at_ns: int) -> None:
        answer = self.answer
        if answer.first_byte_ns is None:
            answer.first_byte_ns = at_ns
        answer.bytes += len(data)
        answer.reads += 1
        if answer.bytes > self.request.max_bytes:
            raise self._too_large(f"{answer.bytes} bytes have come, and more were coming")

    def _decode(self, data: bytes, at_ns: int) -> list[AudioChunk]:
        if self._inflater is not None:
            data = self._inflate(data)
        kept = KEPT if self._decoder else HEADER_LIMIT
        if len(self.answer.body) < kept:
            self.answer.body += data[: kept - len(self.answer.body)]
        if self._decoder is None:
            return []
        before = self._decoder.playable
        audio = self._decoder.feed(data)
        if len(audio):
            return [AudioChunk(at_ns=at_ns, audio=audio)]
        if self._decoder.playable > before:
            self._pending.append((at_ns, self._decoder.playable))
        return []

    def _inflate(self, data: bytes) -> bytes:
        """Decompress. A body may consist of several members (RFC 1952, section 2.2)."""
        inflater = self._inflater
        assert inflater is not None  # noqa: S101 - for the type checker; `_begin` made it
        try:
            out = inflater.decompress(data)
            while inflater.eof and (rest := inflater.unused_data.lstrip(b"\0")):
                inflater = zlib.decompressobj(wbits=GZIP_OR_ZLIB)
                out += inflater.decompress(rest)
        except zlib.error as error:
            raise EndpointFault(Fault.NOT_AUDIO, f"the body's compression is damaged: {error}") from error
        self._inflater = inflater
        return out

    def _finish(self, at_ns: int) -> list[AudioChunk]:
        """Check the complete answer, and return the audio that is decoded only now."""
        if self.answer.status != 200:
            if not self.request.container:
                return []
            raise self._refused()
        if self.request.container and self._decoder is None:
            kind = self.answer.header("content-type")
            raise EndpointFault(
                Fault.NOT_AUDIO, f"the answer is {kind}, not audio: {excerpt(self.answer.body)}", status=200
            )
        if self._decoder is None:
            return []
        if self._inflater is not None and not self._inflater.eof:
            raise EndpointFault(Fault.TRUNCATED, f"the body's compression ends early, after {self.answer.bytes} bytes")
        self._check_nothing_behind()
        return list(_split(self._decoder.finish(in_order=self._ended_in_order()), self._pending, at_ns))

    def _ended_in_order(self) -> bool:
        """Whether the length, the last chunk or the compression shows that the body is complete.

        An answer without them ends with its connection (RFC 9112, section 6.3), as does one that is cut off.
        """
        return bool(self._inflater or self.answer.header("content-length") or self.answer.header("transfer-encoding"))

    def _check_nothing_behind(self) -> None:
        """EndpointFault if the server has sent more than it announced: a client that stops there loses the rest.

        Only bytes that came with the last ones of the answer are seen. Later ones make the connection unusable.
        """
        behind, _ = self.connection.trailing_data
        if behind:
            announced = self.answer.header("content-length")
            end = f"its Content-Length of {announced} bytes" if announced else "its last chunk"
            raise EndpointFault(Fault.TRUNCATED, f"{len(behind)} bytes follow the answer's end, {end}")

    def _refused(self) -> EndpointFault:
        return refusal(
            self.answer.status,
            self.answer.body,
            dialect=self.request.dialect,
            sent=json.loads(self.request.body) if self.request.dialect else (),
            left_out=self.request.left_out,
            retry_after=self.answer.header("retry-after"),
        )

    def _broken(self, error: h11.RemoteProtocolError, *, ended: bool) -> EndpointFault:
        if ended:
            return self._cut("the connection was closed")
        if self.answer.status:
            return self._cut(f"the body breaks HTTP's rules ({_words(error)})")
        return EndpointFault(Fault.NOT_HTTP, f"{self.address.text} does not answer in HTTP: {_words(error)}")

    def _cut(self, how: str) -> EndpointFault:
        if not self.answer.status:
            return EndpointFault(Fault.CLOSED, f"{how} before an answer began")
        if self.answer.status != 200:
            return status_fault(self.answer.status, f"the server answered {self.answer.status}, then {how}")
        announced = self.answer.header("content-length")
        of = f" of {announced}" if announced else ""
        return EndpointFault(Fault.TRUNCATED, f"{how} after {self.answer.bytes}{of} bytes, before the answer's end")

    def _too_large(self, what: str) -> EndpointFault:
        return EndpointFault(Fault.TOO_LARGE, f"the body is larger than {self.request.max_bytes} bytes: {what}")


def _parameters(content_type: str) -> Iterable[tuple[str, str]]:
    """The parameters of a media type, as in `audio/L16;rate=24000;channels=1`."""
    for part in content_type.split(";")[1:]:
        name, _, value = part.partition("=")
        yield name.strip().lower(), value.strip().strip('"')


def _split(audio: "NDArray[np.float32]", pending: list[tuple[int, int]], end_ns: int) -> Iterable[AudioChunk]:
    """Split audio that was decoded at the end into the chunks in which it could have been played.

    `pending` holds (stamp, frames playable by then); a decoder may return a few frames fewer than the container counts.
    """
    done = 0
    for at_ns, playable in pending:
        if piece := min(playable, len(audio)) - done:
            yield AudioChunk(at_ns=at_ns, audio=audio[done : done + piece])
            done += piece
    if done < len(audio):
        yield AudioChunk(at_ns=end_ns, audio=audio[done:])


def _words(error: h11.RemoteProtocolError) -> str:
    """What h11 says, with the beginning of the bytes that it quotes whole and as Python writes them."""
    message, quoted, rest = str(error).partition("bytearray(")
    literal = rest.removesuffix(")")
    return f"{message}{excerpt(literal_eval(literal))}" if quoted else message
