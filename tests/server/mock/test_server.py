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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, End, Script, Step, WhenFull
from harness.server.mock.server import serving

QUICK = Script(name="quick", answers=(Answer(steps=(Step(audio_ms=10),)),))


def request(url: str, method: str, path: str, said: object = None) -> tuple[int, dict[str, str], bytes]:
    place = urlsplit(url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=240)
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


def logged(log: io.StringIO, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["kind"] == kind]


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
    lines = logged(log, "answer")
    assert [line["text"] for line in lines] == ["One.", "Two."]
    for line in lines:
        first, second, end = line["sent_ns"]
        asked = line["asked_ns"]
        assert before <= asked <= first <= second <= end <= after
        # Every time counts from the asking; the loop's clock is a float, whose last digit is some nanoseconds.
        assert first - asked >= 20_000_000 - 1_000
        assert second - asked >= 50_000_000 - 1_000
    assert lines[0]["sent_ns"][-1] <= lines[1]["asked_ns"]


def test_a_log_says_what_was_asked_on_which_connection_and_what_was_sent() -> None:
    log = io.StringIO()
    said = {"input": "One.", "response_format": "wav", "stream": True}
    key = {"Authorization": "Bearer abc"}
    with serving(QUICK, log=log) as (url, _):
        place = urlsplit(url)
        assert place.hostname is not None
        kept = http.client.HTTPConnection(place.hostname, place.port, timeout=240)
        for text in ("One.", "Two."):
            kept.request("POST", "/v1/audio/speech", json.dumps(said | {"input": text}), key)
            assert len(kept.getresponse().read()) == 44 + 480
        kept.close()
        request(url, "POST", "/v1/audio/speech", {})
        request(url, "GET", "/health")
    first, second = logged(log, "answer")
    assert (first["method"], first["path"], first["body"]) == ("POST", "/v1/audio/speech", said)
    assert first["headers"]["authorization"] == "Bearer (3 characters)"
    assert [(each["number"], each["connection"], each["open"]) for each in (first, second)] == [(0, 1, 1), (1, 1, 1)]
    # A piece of audio behind its header, and the end of the chunked body.
    assert (first["sent_bytes"], first["sent_frames"]) == ([44 + 480, 0], [240, 0])
    assert (first["status"], first["bytes"], first["frames"]) == (200, 524, 240)
    assert first["complete"]
    assert first["gone_ns"] is None
    assert first["asked_ns"] <= first["turn_ns"] <= first["sent_ns"][0] <= first["end_ns"] <= second["asked_ns"]
    others = logged(log, "other")
    assert [(each["connection"], each["path"], each["status"]) for each in others] == [
        (2, "/v1/audio/speech", 422),
        (3, "/health", 200),
    ]
    accepted = logged(log, "connection")
    assert [each["connection"] for each in accepted] == [1, 2, 3]
    assert accepted[0]["accepted_ns"] <= first["asked_ns"]


def test_a_log_counts_what_is_open_and_says_which_clients_went_away() -> None:
    log = io.StringIO()
    script = Script(name="hangs", answers=(Answer(steps=(Step(audio_ms=10), Step(end=End.HANG))),))
    with serving(script, log=log) as (url, server):
        place = urlsplit(url)
        waiting = []
        for number in (1, 2):
            waiting.append(socket.create_connection((place.hostname, place.port), timeout=240))
            body = json.dumps({"input": f"Text {number}."}).encode()
            head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            waiting[-1].sendall(head.encode() + body)
            # The first bytes of an answer show that its request is open.
            assert waiting[-1].recv(1)
        left_ns = time.monotonic_ns()
        waiting[0].close()
        until(lambda: server.tally.active == 1)
        seen_ns = time.monotonic_ns()
    waiting[1].close()
    first, second = logged(log, "answer")
    assert [each["open"] for each in (first, second)] == [1, 2]
    assert left_ns <= first["gone_ns"] <= seen_ns
    # The server's own end is no client's leaving.
    assert (second["complete"], second["gone_ns"]) == (False, None)


def speak_at_once(url: str, texts: Sequence[str]) -> list[tuple[int, bytes]]:
    with ThreadPoolExecutor(len(texts)) as clients:
        said = [{"input": text, "stream": True, "response_format": "pcm"} for text in texts]
        answers = clients.map(lambda each: request(url, "POST", "/v1/audio/speech", each), said)
        return [(status, body) for status, _, body in answers]


@pytest.mark.parametrize("capacity", [1, 2])
def test_a_server_with_a_capacity_lets_others_wait_for_their_turn(capacity: int) -> None:
    log = io.StringIO()
    script = Script(name="full", answers=(Answer(steps=(Step(wait_ms=30), Step(audio_ms=10))),), capacity=capacity)
    with serving(script, log=log) as (url, _):
        found = speak_at_once(url, ["One.", "Two.", "Three.", "Four."])
    assert [(status, len(body)) for status, body in found] == [(200, 480)] * 4
    answers = sorted(logged(log, "answer"), key=lambda each: each["number"])
    for number, each in enumerate(answers):
        # Whoever came before and had not ended when it began: their turns come in the order of the requests.
        earlier = answers[:number]
        assert sum(other["end_ns"] > each["turn_ns"] for other in earlier) < capacity
        assert all(other["turn_ns"] <= each["turn_ns"] for other in earlier)


def test_a_server_that_refuses_when_it_is_full_says_so_at_once() -> None:
    log = io.StringIO()
    hangs = Answer(steps=(Step(audio_ms=10), Step(end=End.HANG)))
    script = Script(name="full", answers=(hangs,), capacity=1, when_full=WhenFull.REFUSE)
    with serving(script, log=log) as (url, _):
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=240) as waiting:
            body = json.dumps({"input": "One."}).encode()
            waiting.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert waiting.recv(1)
            status, headers, _ = request(url, "POST", "/v1/audio/speech", {"input": "Two."})
    assert (status, headers["Retry-After"]) == (503, "1")
    assert [each["status"] for each in logged(log, "answer")] == [503, 200]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"input": ""}', b'{"input": 5}', b'{"input": "a", "speed": "x"}'])
def test_a_request_without_a_text_is_refused_and_the_server_goes_on(body: bytes) -> None:
    with serving(QUICK) as (url, _):
        place = urlsplit(url)
        assert place.hostname is not None
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=240)
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
    code = "from harness.cli.mock_server import mock_server; mock_server()"
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
