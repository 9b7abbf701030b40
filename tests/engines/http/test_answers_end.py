"""How an answer's end is told, by what came over the connection alone."""

import gzip
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.http.dialects import OPENAI
from harness.engines.http.errors import EndpointFault
from harness.engines.http.exchange import Exchange
from harness.engines.http.request import Address, HttpRequest
from harness.server.mock.sound import wav_header

RATE = 24_000
PCM = np.arange(-8_000, 8_000, 5, dtype="<i2").tobytes()
ADDRESS = Address(scheme="http", host="127.0.0.1", port=1, path="/v1/audio/speech", host_header="127.0.0.1:1")


def wav(size: int) -> bytes:
    return wav_header(sample_rate=RATE, channels=1, data_bytes=0)[:-4] + struct.pack("<I", size) + PCM


def answer(body: bytes, *, framing: str, announced: int | None = None, coding: str = "") -> bytes:
    """A whole answer as a server sends it."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n" + (f"Content-Encoding: {coding}\r\n" if coding else "")
    if framing == "length":
        head += f"Content-Length: {len(body) if announced is None else announced}\r\n\r\n"
        return head.encode() + body
    if framing == "chunked":
        middle = len(body) // 2
        chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:middle], body[middle:]))
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
    return f"{head}\r\n".encode() + body


def frames(sent: bytes, *, container: str = "wav", places: list[int] | None = None, closes: bool = False) -> int:
    """What a client hears that gets `sent`, cut at `places`, and then perhaps the connection's end."""
    ask = HttpRequest(method="POST", path="/", body=b"{}", dialect=OPENAI, container=container, sample_rate=RATE)
    exchange = Exchange(address=ADDRESS, request=ask)
    exchange.request_bytes()
    edges = [0, *sorted(place % len(sent) for place in places or []), len(sent)]
    heard = 0
    for begin, end in itertools.pairwise(edges):
        if begin < end and not exchange.done:
            heard += sum(len(each.audio) for each in exchange.receive(sent[begin:end], 0))
    if closes and not exchange.done:
        heard += sum(len(each.audio) for each in exchange.receive(b"", 0))
    assert exchange.done
    return heard


FRAMED = st.sampled_from(["length", "chunked"])
CUTS = st.lists(st.integers(min_value=0), max_size=5)


@given(size=st.integers(min_value=len(PCM), max_value=0xFFFFFFFF), framing=FRAMED, places=CUTS)
def test_a_size_beyond_a_body_that_ended_in_order_is_a_placeholder(size: int, framing: str, places: list[int]) -> None:
    assert frames(answer(wav(size), framing=framing), places=places) == len(PCM) // 2


@given(size=st.integers(min_value=len(PCM), max_value=0xFFFFFFFF), framing=FRAMED, cut=st.integers(1, len(PCM)))
def test_a_body_that_ends_before_http_says_is_cut_short_whatever_its_size(size: int, framing: str, cut: int) -> None:
    with pytest.raises(EndpointFault) as caught:
        frames(answer(wav(size), framing=framing)[:-cut], closes=True)
    assert caught.value.fault == "truncated"
    assert "the connection was closed after" in str(caught.value)


@given(size=st.integers(min_value=len(PCM) + 1, max_value=0xFFFFFFFF))
def test_a_body_that_only_the_connection_ends_is_whole_where_its_size_cannot_be_true(size: int) -> None:
    sent = answer(wav(size), framing="until-close")
    if size > 1 << 26:
        assert frames(sent, closes=True) == len(PCM) // 2
        return
    with pytest.raises(EndpointFault, match="nothing but the closed connection says that this was all"):
        frames(sent, closes=True)


def test_the_end_of_a_compression_proves_the_end_of_a_body() -> None:
    packed = gzip.compress(wav(400_000))
    assert frames(answer(packed, framing="until-close", coding="gzip"), closes=True) == len(PCM) // 2
    with pytest.raises(EndpointFault, match="compression ends early"):
        frames(answer(packed[:-20], framing="until-close", coding="gzip"), closes=True)


@given(places=CUTS, parts=st.integers(1, 4))
def test_every_member_of_a_compressed_body_is_uncompressed(places: list[int], parts: int) -> None:
    step = -(-len(PCM) // parts)
    body = b"".join(gzip.compress(PCM[at : at + step]) for at in range(0, len(PCM), step))
    sent = answer(body, framing="length", coding="gzip")
    assert frames(sent, container="pcm", places=places) == len(PCM) // 2


@pytest.mark.parametrize("behind", [b"more", gzip.compress(b"\0\0")[:-9]], ids=["no-member", "half-a-member"])
def test_what_follows_a_compressed_body_is_a_fault(behind: bytes) -> None:
    with pytest.raises(EndpointFault) as caught:
        frames(answer(gzip.compress(PCM) + behind, framing="length", coding="gzip"), container="pcm")
    assert caught.value.fault in ("not-audio", "truncated")


def test_nul_bytes_behind_a_compressed_body_are_padding() -> None:
    sent = answer(gzip.compress(PCM) + b"\0" * 9, framing="length", coding="gzip")
    assert frames(sent, container="pcm") == len(PCM) // 2
    assert frames(answer(zlib.compress(PCM), framing="length", coding="deflate"), container="pcm") == len(PCM) // 2


def test_bytes_beyond_what_was_announced_are_a_fault() -> None:
    with pytest.raises(EndpointFault) as caught:
        frames(answer(PCM, framing="length", announced=len(PCM) - 500), container="pcm")
    assert caught.value.fault == "truncated"
    assert str(caught.value) == f"500 bytes follow the answer's end, its Content-Length of {len(PCM) - 500} bytes"
    with pytest.raises(EndpointFault, match="4 bytes follow the answer's end, its last chunk"):
        frames(answer(PCM, framing="chunked") + b"more", container="pcm")
