"""Listeners who vanish, dawdle, shout all at once or talk nonsense; sessions that fail or hang."""

import json
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from harness.engines.pooled.splitter import split_phonemes
from harness.engines.pooled.synthesizer import WARM_UP
from tests import forking
from tests.server.conftest import PATIENCE, Serve, Served, Tones, connect, pcm, tone

SPEECH = "/v1/audio/speech"
LONG = "the quick brown fox jumps over a lazy dog. nobody says a word about it for a while. " * 20


def post(body: bytes, *, length: int | None = None) -> bytes:
    head = f"POST {SPEECH} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def requests(served: Served) -> dict[str, int]:
    return served.report(requests=0)["requests"]  # type: ignore[no-any-return]


def spoken(text: str) -> bytes:
    """The body of a short text, which is one piece."""
    return pcm(tone(text))


def reachable(served: Served) -> bool:
    """Whether the server still takes connections."""
    try:
        connect(served).close()
    except ConnectionError:
        return False
    return True


def test_who_hangs_up_is_not_spoken_to_any_longer(serve: Serve) -> None:
    tones = Tones()
    with serve(tones) as served:
        tones.go_on.clear()
        with connect(served) as connection:
            connection.sendall(post(json.dumps({"text": LONG, "stream": True}).encode()))
            served.until(lambda: served.service.answering == 1 and len(tones.spoken) == len(WARM_UP) + 1)
        served.until(lambda: requests(served)["hung-up"] == 1)
        tones.go_on.set()
        assert served.service.answering == 0
        assert served.service.synthesizer.pool.waiting == 0
        assert httpx.post(served.url + SPEECH, json={"text": "next."}).content == spoken("next.")
    # The piece that was being spoken could not be stopped; none was begun after it.
    assert tones.spoken[len(WARM_UP) :] == [split_phonemes(LONG)[0], "next."]


def test_who_does_not_listen_is_let_go(serve: Serve) -> None:
    with serve(send_timeout_s=0.3) as served, connect(served) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.sendall(post(json.dumps({"text": LONG[:4_000], "stream": True}).encode()))
        served.until(lambda: requests(served)["slow"] == 1)
        assert served.service.answering == 0


def test_who_never_ends_a_request_is_told_so(serve: Serve) -> None:
    with serve(body_timeout_s=0.3) as served, connect(served) as connection:
        connection.sendall(post(b'{"text": "one', length=100))
        answer = connection.recv(4_096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()


def test_a_request_in_single_bytes_is_answered(serve: Serve) -> None:
    with serve() as served, connect(served) as connection:
        for byte in post(b'{"text": "one."}'):
            connection.sendall(bytes([byte]))
        connection.settimeout(PATIENCE)
        assert connection.recv(64).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (post(b"\xff\xfe{"), b"4"),
        (post(b"[" * 30_000), b"4"),
        (post(b'{"text": "one.", "speed": NaN}'), b"422"),
        (post(b'{"text": "one.", "speed": 1e999}'), b"422"),
        (post(b"a" * (1 << 17)), b"413"),
        (f"POST {SPEECH} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode(), b"400"),
    ],
    ids=["tls", "version", "utf-8", "nested", "nan", "infinite", "large", "chunk"],
)
def test_nonsense_gets_a_4xx_and_the_next_one_is_served(serve: Serve, sent: bytes, status: bytes) -> None:
    with serve() as served:
        with connect(served) as connection:
            connection.sendall(sent)
            assert connection.recv(4_096).startswith(b"HTTP/1.1 " + status)
        assert httpx.post(served.url + SPEECH, json={"text": "next."}).content == spoken("next.")


def test_two_hundred_at_once_get_their_own_audio_or_an_honest_no(serve: Serve) -> None:
    tones = [Tones(pace=0.0005), Tones(pace=0.0005)]
    process = psutil.Process()
    with serve(*tones, concurrency=16) as served:
        before = process.memory_info().rss
        texts = [f"this is number {number}." for number in range(200)]
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(limits=limits, timeout=240) as client, ThreadPoolExecutor(200) as threads:
            answers = list(threads.map(lambda text: client.post(served.url + SPEECH, json={"text": text}), texts))
        grown = process.memory_info().rss - before
        account = served.report(requests=200)["requests"]
    served_ones = [(text, answer) for text, answer in zip(texts, answers, strict=True) if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(served_ones) + len(refused) == 200
    assert len(served_ones) >= 16
    assert all(answer.content == spoken(text) for text, answer in served_ones)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert (account["valid"], account["busy"]) == (len(served_ones), len(refused))
    assert grown < 200 << 20


def test_one_address_cannot_take_all_places(serve: Serve) -> None:
    tones = Tones()
    with serve(tones, per_client=1) as served, ThreadPoolExecutor(1) as threads:
        tones.go_on.clear()
        first = threads.submit(httpx.post, served.url + SPEECH, json={"text": "first."}, timeout=PATIENCE)
        served.until(lambda: served.service.answering == 1)
        second = httpx.post(served.url + SPEECH, json={"text": "second."})
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        tones.go_on.set()
        assert first.result().status_code == 200


def test_a_text_beyond_the_servers_own_limit_is_refused(serve: Serve) -> None:
    with serve(max_characters=10) as served:
        assert httpx.post(served.url + SPEECH, json={"input": "a" * 11}).status_code == 422
        assert httpx.post(served.url + SPEECH, json={"input": "a" * 10}).status_code == 200


def test_a_session_that_fails_at_once_is_a_500_and_later_a_cut_stream(serve: Serve) -> None:
    text = "the quick brown fox jumps over a lazy dog. zzz says a word."
    with serve(Tones(fail_on="zzz")) as served:
        assert httpx.post(served.url + SPEECH, json={"text": "zzz."}).status_code == 500
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(served.url + SPEECH, json={"text": text, "stream": True})
        assert httpx.post(served.url + SPEECH, json={"text": text}).status_code == 500
        assert served.report(requests=3)["requests"]["failed"] == 3


def test_a_session_that_hangs_is_a_504(serve: Serve) -> None:
    tones = Tones()
    with serve(tones, piece_timeout_s=0.2) as served:
        tones.go_on.clear()
        assert httpx.post(served.url + SPEECH, json={"text": "one."}).status_code == 504
        tones.go_on.set()


def test_silence_is_sent_and_counted_as_invalid(serve: Serve) -> None:
    tones = Tones()
    with serve(tones) as served:
        tones.create = lambda *_args, **_options: (np.zeros(24_000, dtype=np.float32), 24_000)  # type: ignore[method-assign]
        assert httpx.post(served.url + SPEECH, json={"text": "one."}).status_code == 200
        report = served.report(requests=1)
    assert report["requests"]["invalid-audio"] == 1
    assert report["computed"] == {}
    assert report["success_rate"]["rate"] == 0.0


def test_stopping_lets_the_answer_in_progress_end(serve: Serve) -> None:
    tones = Tones()
    with serve(tones) as served, ThreadPoolExecutor(1) as threads:
        tones.go_on.clear()
        answer = threads.submit(httpx.post, served.url + SPEECH, json={"text": "to the end."}, timeout=PATIENCE)
        served.until(lambda: served.service.answering == 1)
        served.service.drain()
        served.stop()
        served.until(lambda: not reachable(served))
        tones.go_on.set()
        assert answer.result().content == spoken("to the end.")


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGTERM to obey")
def test_the_command_serves_the_small_replica_and_obeys_sigterm(
    user_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["serve", "--model", "replica-small", "--port", "0", "--threads", "1", "--provider", "rocm"]
    with forking.Started(
        *arguments, cwd=tmp_path, env=user_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().rpartition(" at ")[2].strip()
        assert "cpu is used instead" in process.stderr.readline()
        while httpx.get(f"{url}/health").status_code == 503:
            time.sleep(0.1)
        with httpx.stream("POST", url + SPEECH, json={"text": LONG[:400], "stream": True}, timeout=PATIENCE) as answer:
            parts = answer.iter_raw()
            received = len(next(parts))
            process.send_signal(signal.SIGTERM)
            received += sum(map(len, parts))
        assert received > 24_000 * 2
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")


def test_a_model_that_does_not_load_ends_the_command_with_its_reason(
    user_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    arguments = ("serve", "--model", "broken.onnx", "--port", "0")
    process = forking.run(*arguments, cwd=tmp_path, env=user_environment, timeout=240)
    assert process.returncode == 2
    assert "broken.onnx" in process.stderr
    assert "Traceback" not in process.stderr
