import contextlib
import gc
import http.client
import io
import json
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

from harness.server.builtin import SCRIPTS
from harness.server.script import Answer, Script, Step
from harness.server.scripted import serving

QUICK = Script(name="quick", answers=(Answer(steps=(Step(audio_ms=10),)),))


def request(url: str, method: str, path: str, said: object = None) -> tuple[int, dict[str, str], bytes]:
    place = urlsplit(url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=10)
    connection.request(method, path, None if said is None else json.dumps(said))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


@pytest.mark.parametrize(
    "said",
    [
        {"input": "Hello.", "response_format": "pcm", "stream": True},
        {"text": "Hello.", "format": "pcm", "stream": True},
    ],
)
def test_another_client_gets_the_scripts_audio_in_either_dialect(said: object) -> None:
    with serving(QUICK) as (url, _):
        status, headers, body = request(url, "POST", "/v1/audio/speech", said)
    assert (status, len(body)) == (200, 480)
    assert headers["Content-Type"] == "audio/L16;rate=24000;channels=1"
    assert headers["Transfer-Encoding"] == "chunked"


def test_a_script_of_one_dialect_refuses_the_other_as_fastapi_does() -> None:
    with serving(SCRIPTS["raycast"]) as (url, server):
        status, _, body = request(url, "POST", "/v1/audio/speech", {"input": "Hello."})
        assert server.tally.requests == 0
        assert request(url, "GET", "/v1/audio/voices")[0] == 404
        assert request(url, "GET", "/voices")[0] == 200
    assert status == 422
    assert json.loads(body) == {"detail": [{"type": "missing", "loc": ["body", "text"], "msg": "Field required"}]}


def test_the_server_says_its_health_and_what_it_has_done() -> None:
    with serving(QUICK) as (url, _):
        assert json.loads(request(url, "GET", "/health")[2]) == {"status": "ok"}
        before = json.loads(request(url, "GET", "/status")[2])
        request(url, "POST", "/v1/audio/speech", {"input": "Hello.", "stream": True})
        after = json.loads(request(url, "GET", "/status")[2])
        assert request(url, "GET", "/nowhere")[0] == 404
    assert before == {"script": "quick", "requests": 0, "active": 0, "late_ms": {"p50": None, "p99": None, "max": None}}
    assert (after["requests"], after["active"]) == (1, 0)
    assert after["late_ms"]["max"] >= 0


def test_a_log_says_when_each_piece_was_really_sent_on_the_clock_that_a_client_reads_too() -> None:
    paced = Script(name="paced", answers=(Answer(steps=(Step(wait_ms=20), Step(audio_ms=10), Step(wait_ms=30),
                                                        Step(audio_ms=10))),))  # fmt: skip
    log = io.StringIO()
    before = time.perf_counter_ns()
    with serving(paced, log=log) as (url, server):
        for text in ("One.", "Two."):
            request(url, "POST", "/v1/audio/speech", {"input": text, "response_format": "pcm"})
        assert server.tally.requests == 2
    after = time.perf_counter_ns()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["text"] for line in lines] == ["One.", "Two."]
    for line in lines:
        first, second, end = line["sent_ns"]
        asked = line["asked_ns"]
        assert before <= asked <= first <= second <= end <= after
        # Every time counts from the asking; the loop's clock is a float, whose last digit is some nanoseconds.
        assert first - asked >= 20_000_000 - 1_000
        assert second - asked >= 50_000_000 - 1_000
    assert lines[0]["sent_ns"][-1] <= lines[1]["asked_ns"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"input": ""}', b'{"input": 5}', b'{"input": "a", "speed": "x"}'])
def test_a_request_without_a_text_is_refused_and_the_server_goes_on(body: bytes) -> None:
    with serving(QUICK) as (url, _):
        place = urlsplit(url)
        assert place.hostname is not None
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=10)
        connection.request("POST", "/v1/audio/speech", body)
        answer = connection.getresponse()
        assert answer.status == 422
        answer.read()
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()


def test_only_loopback_is_listened_on() -> None:
    with serving(QUICK) as (url, server):
        assert url.startswith("http://127.0.0.1:")
        assert server._server is not None
        assert [each.getsockname()[0] for each in server._server.sockets] == ["127.0.0.1"]


def test_the_command_serves_and_says_where() -> None:
    code = "from harness.cli.scripted_server import scripted_server; scripted_server()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "steady", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name, _, url = process.stdout.readline().strip().partition(" at ")
        assert name == "steady"
        assert request(url, "GET", "/health")[0] == 200
        process.terminate()


def test_who_connects_while_it_closes_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose transport asyncio makes after the server has closed would stay open, half made, for ever."""
    left_open: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", left_open.append)
    for _ in range(20):
        ended = threading.Event()
        with serving(QUICK) as (url, _):
            place = urlsplit(url)
            assert place.hostname is not None
            clients = threading.Thread(target=keep_connecting, args=(place.hostname, place.port, ended))
            clients.start()
            time.sleep(0.001)
        ended.set()
        clients.join()
    gc.collect()
    assert left_open == []


def keep_connecting(host: str, port: int | None, ended: threading.Event) -> None:
    with contextlib.ExitStack() as connections:
        while not ended.is_set():
            try:
                connections.enter_context(socket.create_connection((host, port or 0), timeout=1))
            except OSError:
                return
