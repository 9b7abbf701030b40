"""One request and its answer, as bytes with their stamps: what is sent, what is heard when, and every way to end."""

import gzip
import json
import zlib

import h11
import numpy as np
import pytest

from harness.engines.http.dialects import OPENAI
from harness.engines.http.errors import EndpointFault
from harness.engines.http.exchange import Exchange
from harness.engines.http.request import Address, HttpRequest
from harness.server.mock.sound import wav_header

ADDRESS = Address(scheme="http", host="server.test", port=8880, path="/v1/audio/speech", host_header="server.test:8880")
BODY = json.dumps({"input": "Hello", "voice": "v"}).encode()
PCM = np.arange(-100, 100, dtype="<i2").tobytes()
SOUND = np.arange(-100, 100) / 32768


def exchange(**changes: object) -> Exchange:
    """A request for 24 kHz PCM in OpenAI's dialect, sent."""
    fields: dict[str, object] = {
        "method": "POST", "path": "/v1/audio/speech", "body": BODY, "dialect": OPENAI, "container": "pcm",
        "sample_rate": 24_000, "max_bytes": 1_000,
    }  # fmt: skip
    made = Exchange(address=ADDRESS, request=HttpRequest(**(fields | changes)))  # type: ignore[arg-type]
    made.request_bytes()
    return made


def plain(**changes: object) -> Exchange:
    """A request for any body."""
    return exchange(method="GET", body=b"", dialect=None, container="", **changes)


def head(*headers: str, status: str = "200 OK", length: int | None = len(PCM)) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, *([] if length is None else [f"Content-Length: {length}"])]
    return "\r\n".join([*lines, "", ""]).encode()


def fault(made: Exchange, *pieces: bytes) -> tuple[str, str]:
    """The name and the sentence of the fault at the last of the pieces, none before."""
    for piece in pieces[:-1]:
        made.receive(piece, 0)
    with pytest.raises(EndpointFault) as caught:
        made.receive(pieces[-1], 0)
    return caught.value.fault, str(caught.value)


def sent(**changes: object) -> tuple[str, dict[str, str], bytes]:
    made = exchange(**changes)
    fresh = Exchange(address=ADDRESS, request=made.request)
    header, _, body = fresh.request_bytes().partition(b"\r\n\r\n")
    first, *rest = header.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in rest), body


class TestRequests:
    def test_a_request_says_who_asks_whom_for_what_and_no_more(self) -> None:
        assert sent() == (
            "POST /v1/audio/speech HTTP/1.1",
            {
                "Host": "server.test:8880", "User-Agent": "kokoro-bench", "Accept-Encoding": "identity",
                "Content-Length": str(len(BODY)), "Content-Type": "application/json",
            },
            BODY,
        )  # fmt: skip

    def test_without_a_body_no_type_and_without_keep_alive_the_close_is_said(self) -> None:
        first, headers, body = sent(method="GET", path="/voices", body=b"", keep_alive=False, headers=(("X-Key", "k"),))
        assert (first, body) == ("GET /voices HTTP/1.1", b"")
        assert headers == {
            "Host": "server.test:8880", "User-Agent": "kokoro-bench", "Accept-Encoding": "identity",
            "Content-Length": "0", "X-Key": "k", "Connection": "close",
        }  # fmt: skip

    def test_an_address_in_messages(self) -> None:
        assert ADDRESS.text == "http://server.test:8880"


class TestAnswers:
    def test_audio_is_heard_as_it_comes_and_the_answer_knows_when(self) -> None:
        made = exchange()
        assert (made.answer.status, made.answer.first_byte_ns, made.answer.end_ns, made.answer.reads) == (
            0,
            None,
            None,
            0,
        )
        assert made.receive(head("Content-Type: audio/pcm"), 5) == []
        assert made.answer.first_byte_ns is None, "a head is no body"
        (first,) = made.receive(PCM[:101], 10)
        assert (first.at_ns, len(first.audio)) == (10, 50)
        assert not made.done
        assert not made.reusable
        (last,) = made.receive(PCM[101:], 20)
        assert (last.at_ns, len(last.audio)) == (20, 150)
        assert np.concatenate([first.audio, last.audio]) == pytest.approx(SOUND)
        answer = made.answer
        assert (answer.status, answer.first_byte_ns, answer.end_ns, answer.bytes, answer.reads) == (200, 10, 20, 400, 2)
        assert made.done
        assert made.reusable
        assert answer.header("content-type") == "audio/pcm"
        assert answer.header("x-missing") == ""

    def test_all_in_one_read(self) -> None:
        made = exchange()
        (heard,) = made.receive(head() + PCM, 7)
        assert heard.audio == pytest.approx(SOUND)
        assert (made.answer.first_byte_ns, made.answer.end_ns, made.answer.reads) == (7, 7, 1)

    @pytest.mark.parametrize(
        "kind",
        ["", "audio/pcm", "AUDIO/L16; rate=24000; channels=1", "application/octet-stream", "application/ogg; x=y"],
    )
    def test_types_that_may_be_audio(self, kind: str) -> None:
        made = exchange()
        (heard,) = made.receive(head(*([f"Content-Type: {kind}"] if kind else [])) + PCM, 0)
        assert len(heard.audio) == 200

    def test_what_a_connections_close_ends_has_no_other_end(self) -> None:
        made = exchange()
        (heard,) = made.receive(head(length=None) + PCM, 3)
        assert not made.done
        assert made.receive(b"", 9) == []
        assert made.done
        assert (len(heard.audio), made.answer.end_ns) == (200, 9)
        assert not made.reusable

    def test_a_server_that_closes_leaves_nothing_to_use_again(self) -> None:
        made = exchange()
        made.receive(head("Connection: close") + PCM, 3)
        assert made.done
        assert not made.reusable

    def test_the_body_of_what_is_no_audio_is_kept_up_to_a_limit(self) -> None:
        made = plain(max_bytes=1 << 20)
        body = bytes(range(256)) * 400
        made.receive(head(length=len(body)) + body[:50_000], 1)
        made.receive(body[50_000:], 2)
        assert made.done
        assert body.startswith(made.answer.body)
        assert len(made.answer.body) == 1 << 16
        assert made.answer.bytes == len(body)

    def test_of_audio_the_beginning_is_kept(self) -> None:
        made = exchange(max_bytes=1 << 20)
        body = PCM * 40
        made.receive(head(length=len(body)) + body[:300], 1)
        assert made.answer.body == body[:300]
        made.receive(body[300:], 2)
        assert made.answer.body == body[: len(made.answer.body)]
        assert 300 < len(made.answer.body) < len(body)

    def test_any_status_is_an_answer_where_any_body_is_taken(self) -> None:
        made = plain()
        assert made.receive(head(status="404 Not Found", length=4) + b"gone", 1) == []
        assert (made.done, made.answer.status, made.answer.body) == (True, 404, b"gone")

    @pytest.mark.parametrize(("coding", "compress"), [
        ("gzip", gzip.compress), (" X-GZIP ", gzip.compress), ("deflate", zlib.compress),
    ])  # fmt: skip
    def test_compression_is_undone(self, coding: str, compress: object) -> None:
        body = compress(PCM)  # type: ignore[operator]
        made = exchange()
        heard = made.receive(head(f"Content-Encoding: {coding}", length=len(body)) + body, 4)
        assert np.concatenate([each.audio for each in heard]) == pytest.approx(SOUND)
        assert made.answer.bytes == len(body), "bytes are those that came"
        assert made.answer.body == PCM

    def test_identity_is_no_compression(self) -> None:
        assert len(exchange().receive(head("Content-Encoding: Identity") + PCM, 0)[0].audio) == 200

    def test_what_is_decoded_at_the_end_is_heard_when_it_could_have_been(self) -> None:
        # Every frame of an Opus or mp3 stream is decoded at its end; where WAV is cut, each piece is heard at once.
        wav = wav_header(sample_rate=24_000, channels=1, data_bytes=400) + PCM
        made = exchange(container="wav")
        assert made.receive(head(length=len(wav)) + wav[:20], 1) == []
        (first,) = made.receive(wav[20:244], 2)
        (last,) = made.receive(wav[244:], 3)
        assert [(each.at_ns, len(each.audio)) for each in (first, last)] == [(2, 100), (3, 100)]
        assert made.answer.first_byte_ns == 1


class TestFaults:
    def test_tls_in_plain_http(self) -> None:
        assert fault(exchange(), b"\x15\x03\x01\x00\x02\x02\x50") == (
            "tls", "http://server.test:8880 answers in TLS, not in plain HTTP: the address begins with https://",
        )  # fmt: skip
        # Later on these bytes are a body's like any others.
        made = exchange(max_bytes=1_000)
        made.receive(head(), 0)
        assert len(made.receive(b"\x15\x03" + PCM[2:], 0)[0].audio) == 200

    def test_a_redirect_is_not_followed(self) -> None:
        assert fault(exchange(), head("Location: http://other.test/", status="307 Temporary Redirect")) == (
            "redirect",
            (
                "http://server.test:8880 redirects to http://other.test/ (307); only the given address is contacted: "
                "give the other one if it is meant"
            ),
        )
        for status in ("300 Multiple Choices", "399 Odd"):
            name, said = fault(exchange(), head(status=status))
            assert name == "redirect"
            assert f"redirects to nowhere ({status[:3]})" in said
        with pytest.raises(EndpointFault) as caught:
            exchange().receive(head(status="301 Moved"), 0)
        assert caught.value.status == 301

    @pytest.mark.parametrize("status", ["299 Odd", "400 Bad Request"])
    def test_other_statuses_are_no_redirect(self, status: str) -> None:
        assert fault(exchange(), head(status=status, length=0))[0] == f"http-{status[:3]}"

    def test_what_is_too_large_is_refused_by_its_announcement_or_as_it_comes(self) -> None:
        assert fault(exchange(), head(length=1_001)) == (
            "too-large", "the body is larger than 1000 bytes: 1001 bytes are announced",
        )  # fmt: skip
        assert fault(exchange(), head(length=None), b"\0" * 1_000, b"\0\0") == (
            "too-large", "the body is larger than 1000 bytes: 1002 bytes have come, and more were coming",
        )  # fmt: skip
        made = exchange()
        assert len(made.receive(head(length=1_000) + PCM[:2] * 500, 0)[0].audio) == 500

    def test_a_coding_that_was_not_asked_for(self) -> None:
        assert fault(exchange(), head("Content-Encoding: br")) == (
            "not-audio", "the body is coded as 'br', which was not asked for",
        )  # fmt: skip

    @pytest.mark.parametrize(
        "body", [b"no gzip at all", gzip.compress(PCM)[:20] + b"\xff" * 40], ids=["no-gzip", "damaged"]
    )
    def test_a_compression_that_is_damaged(self, body: bytes) -> None:
        name, said = fault(exchange(), head("Content-Encoding: gzip", length=len(body)) + body)
        assert name == "not-audio"
        assert said.startswith("the body's compression is damaged: ")

    def test_a_compression_that_ends_early(self) -> None:
        body = gzip.compress(PCM)[:-9]
        assert fault(exchange(), head("Content-Encoding: gzip", length=len(body)) + body) == (
            "truncated", f"the body's compression ends early, after {len(body)} bytes",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("kind", "said"),
        [("audio/L16;rate=22050", "rate=22050, expected was rate=24000"),
         ('audio/l16; Channels="2"', "channels=2, expected was channels=1"),
         ("audio/L16; rate=24000; channels=2", "channels=2, expected was channels=1")],
    )  # fmt: skip
    def test_another_format_than_was_asked_for(self, kind: str, said: str) -> None:
        assert fault(exchange(), head(f"Content-Type: {kind}")) == (
            "format", f"the answer is announced with {said}",
        )  # fmt: skip

    @pytest.mark.parametrize("kind", ["application/json", "text/html; charset=utf-8", "video/ogg"])
    def test_an_answer_that_is_no_audio(self, kind: str) -> None:
        made = exchange()
        made.receive(head(f"Content-Type: {kind}", length=14), 0)
        with pytest.raises(EndpointFault) as caught:
            made.receive(b'{"error": "x"}', 0)
        assert (caught.value.fault, caught.value.answered, caught.value.status) == ("not-audio", True, 200)
        assert str(caught.value) == f"""the answer is {kind}, not audio: '{{"error": "x"}}'"""

    def test_a_size_that_no_body_may_have_is_a_placeholder(self) -> None:
        # Nothing but the connection's end says that it was all: with a size that may be true, it was not.
        made = exchange(container="wav")
        made.receive(head(length=None) + wav_header(sample_rate=24_000, channels=1, data_bytes=1_200) + PCM, 0)
        assert made.receive(b"", 0) == []
        likely = exchange(container="wav")
        name, said = fault(
            likely, head(length=None) + wav_header(sample_rate=24_000, channels=1, data_bytes=900) + PCM, b""
        )
        assert name == "truncated"
        assert "nothing but the closed connection says that this was all" in said

    def test_what_follows_the_end_is_told(self) -> None:
        assert fault(exchange(), head(), PCM + b"more") == (
            "truncated", "4 bytes follow the answer's end, its Content-Length of 400 bytes",
        )  # fmt: skip
        chunked = head("Transfer-Encoding: chunked", length=None) + b"190\r\n" + PCM + b"\r\n0\r\n\r\n"
        assert fault(exchange(), chunked + b"more!") == ("truncated", "5 bytes follow the answer's end, its last chunk")

    @pytest.mark.parametrize(
        ("came", "name", "said"),
        [
            ((), "closed", "the connection was closed before an answer began"),
            ((head(),), "truncated", "the connection was closed after 0 of 400 bytes, before the answer's end"),
            ((head(), PCM[:50]), "truncated",
             "the connection was closed after 50 of 400 bytes, before the answer's end"),
            ((head("Transfer-Encoding: chunked", length=None) + b"4\r\nabcd\r\n",), "truncated",
             "the connection was closed after 4 bytes, before the answer's end"),
            ((head(status="500 Oops"),), "http-500", "the server answered 500, then the connection was closed"),
        ],
    )  # fmt: skip
    def test_a_connection_that_is_closed_too_early(self, came: tuple[bytes, ...], name: str, said: str) -> None:
        found, sentence = fault(exchange(), *came, b"")
        assert (found, sentence) == (name, said)

    @pytest.mark.parametrize(
        ("error", "how"),
        [(ConnectionResetError(104, "Connection reset by peer"), "was reset"),
         (OSError(5, "I/O error"), "broke (I/O error)"), (OSError("odd"), "broke (odd)")],
    )  # fmt: skip
    def test_a_connection_that_breaks(self, error: OSError, how: str) -> None:
        assert str(exchange().lost(error)) == f"the connection {how} before an answer began"
        made = exchange()
        made.receive(head() + PCM[:50], 0)
        lost = made.lost(error)
        assert (lost.fault, str(lost)) == (
            "truncated", f"the connection {how} after 50 of 400 bytes, before the answer's end",
        )  # fmt: skip

    def test_what_is_no_http(self) -> None:
        name, said = fault(exchange(), b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        assert name == "not-http"
        assert said.startswith("http://server.test:8880 does not answer in HTTP: ")

    def test_a_body_against_the_rules(self) -> None:
        name, said = fault(exchange(), head("Transfer-Encoding: chunked", length=None), b"no size\r\n")
        assert name == "truncated"
        assert said.startswith("the body breaks HTTP's rules (")
        assert said.endswith(") after 0 bytes, before the answer's end")

    def test_a_refusal_is_told_with_what_it_says(self) -> None:
        made = exchange(left_out=("speed",))
        made.receive(head("Retry-After: 7", status="429 Busy", length=4), 0)
        with pytest.raises(EndpointFault) as caught:
            made.receive(b"wait", 0)
        assert caught.value.fault == "http-429"
        assert "429, Retry-After: 7" in str(caught.value)

    def test_a_field_that_the_server_does_not_know_is_to_be_left_out_beside_those_that_are(self) -> None:
        body = json.dumps({"input": "Hello", "stream": True}).encode()
        refusal = json.dumps({"detail": "unknown field: stream"}).encode()
        made = exchange(body=body, left_out=("speed",))
        name, said = fault(made, head(status="422 Unprocessable", length=len(refusal)) + refusal)
        assert (name, said) == (
            "http-422", "the server does not know the field 'stream' (422): try --leave-out speed,stream",
        )  # fmt: skip
        # Without a dialect nothing is known of the fields, and the body need be no JSON.
        _, said = fault(exchange(body=b"raw", dialect=None), head(status="422 No", length=len(refusal)) + refusal)
        assert "leave-out" not in said


def test_an_exchange_has_a_state_of_its_own() -> None:
    one, other = exchange(), exchange()
    one.receive(head() + PCM, 0)
    assert one.done
    assert not other.done
    assert other.connection.their_state is h11.SEND_RESPONSE
    assert other.answer.bytes == 0
