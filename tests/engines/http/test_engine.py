"""The endpoint engine against the scripted server: every row of the table of faults.

What depends on when something comes is tested in scripted time; all else over real sockets.
"""

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from harness.core.clock import Clock, ScriptedClock, SystemClock
from harness.core.records.repetition import Launch, OutcomeKind, Phase, Repetition
from harness.engines.http.engine import start
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest
from harness.measure.worker.probes import SystemProbes
from harness.measure.worker.protocol import LoadOrder, SynthesisOrder
from harness.measure.worker.worker import Worker
from harness.metrics.per_request import repetition_figures
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from harness.server.mock.sound import SECONDS_PER_CHARACTER, to_pcm, tone
from tests.engines.http.scripted_socket import ScriptedServer

MS = 1_000_000
TEXT = "This text has a few characters."
NATURAL_S = len(TEXT) * SECONDS_PER_CHARACTER


def launched(url: str, **options: str) -> tuple[Worker, Launch]:
    worker = Worker(clock=SystemClock(), probes=SystemProbes())
    engine = EngineOrder(engine="endpoint", url=url, voice="af_heart", session_options=options)
    launch = worker.answer(LoadOrder(arm_id="arm", launch=0, engine=engine)).launch
    assert launch is not None
    return worker, launch


def spoken(worker: Worker, text: str = TEXT, *, streaming: bool = True) -> Repetition:
    order = SynthesisOrder(
        scenario_id="s", launch=0, block=0, position=0, phase=Phase.MEASURED, variant=0, text=text, voice="af_heart",
        stream=streaming, band_low=0.03, band_high=0.28,
    )  # fmt: skip
    repetition = worker.answer(order).repetition
    assert repetition is not None
    return repetition


def measured(script: str, *, streaming: bool = True, **options: str) -> Repetition:
    """One repetition against a built-in script, without the launch's first inference."""
    with serving(SCRIPTS[script]) as (url, _):
        return from_url(url, streaming=streaming, **options)


def from_url(url: str, *, streaming: bool = True, **options: str) -> Repetition:
    worker = started(url, SystemClock(), **options)
    try:
        return spoken(worker, streaming=streaming)
    finally:
        worker.close()


def started(url: str, clock: Clock, **options: str) -> Worker:
    """A worker whose engine has connected, and has asked for nothing."""
    worker = Worker(clock=clock, probes=SystemProbes())
    order = EngineOrder(engine="endpoint", url=url, session_options={"dialect": "openai"} | options)
    worker._engine = start(order, clock=clock, stages=worker._stages)
    return worker


NOWHERE = "http://127.0.0.1:9"
Timed = Callable[..., Repetition]


@pytest.fixture
def scripted_worker(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    """A worker whose connections lead to a built-in script in scripted time."""

    def make(script: str, **options: str) -> Worker:
        clock = ScriptedClock()
        server = ScriptedServer(script=SCRIPTS[script], clock=clock)
        monkeypatch.setattr("harness.engines.http.connection.open_socket", server.connect)
        monkeypatch.setattr("harness.engines.http.connection._closed_by_peer", lambda _socket: False)
        return started(NOWHERE, clock, **options)

    return make


@pytest.fixture
def timed(scripted_worker: Callable[..., Worker]) -> Timed:
    """One repetition of a built-in script in scripted time."""

    def measure(script: str, **options: str) -> Repetition:
        worker = scripted_worker(script, **options)
        try:
            return spoken(worker)
        finally:
            worker.close()

    return measure


def figure(repetition: Repetition, name: str) -> float:
    value = repetition_figures(repetition)[name].value
    assert value is not None
    return value


def frames(repetition: Repetition) -> int:
    return sum(chunk.frames for chunk in repetition.chunks)


def test_a_stream_is_heard_chunk_by_chunk_to_the_last_frame() -> None:
    found = measured("steady")
    assert found.outcome.valid
    # Ten steps of one size. What arrives while this process waits for a core is read at once, as one chunk.
    assert frames(found) == 10 * 5208
    assert all(chunk.frames % 5208 == 0 for chunk in found.chunks)
    assert found.first_byte_ns == found.chunks[0].at_ns
    assert found.audio is not None
    pieces = [tone((TEXT,), first=5208 * n, frames=5208, sample_rate=24_000) for n in range(10)]
    expected = np.frombuffer(to_pcm(np.concatenate(pieces), 1), dtype="<i2").astype(np.float32) / 32768
    assert found.audio.frames == len(expected)
    assert found.audio.peak == float(np.abs(expected).max())


def test_each_chunk_has_the_moment_at_which_it_was_sent(timed: Timed) -> None:
    found = timed("steady")
    assert [(chunk.at_ns, chunk.frames) for chunk in found.chunks] == [((200 + 50 * n) * MS, 5208) for n in range(10)]
    assert found.first_byte_ns == 200 * MS
    assert found.end_ns == 700 * MS


@pytest.mark.parametrize("container", ["pcm", "wav", "mp3", "opus", "flac"])
def test_every_format_gives_audio_of_the_texts_length(container: str, timed: Timed) -> None:
    for found in (measured("steady", format=container), timed("steady", format=container)):
        assert found.outcome.valid
        assert frames(found) / 24_000 == pytest.approx(NATURAL_S, abs=0.06)
    # FLAC alone cannot be counted before it is whole.
    assert (len(found.chunks) == 1) is (container == "flac")
    assert (figure(found, "ttfc") < 0.5) is (container != "flac")


def test_a_header_is_no_audio(timed: Timed) -> None:
    found = timed("header-first", format="wav")
    assert (figure(found, "ttfb"), figure(found, "ttfc")) == (0.0, 0.6)
    assert 0.6 <= figure(found, "ttfa") < 0.62


def test_a_primer_of_silence_is_audio_but_not_heard(timed: Timed) -> None:
    found = timed("primer", format="wav")
    assert (figure(found, "ttfb"), figure(found, "ttfc")) == (0.0, 0.0)
    assert 0.6 <= figure(found, "ttfa") < 0.62


def test_what_is_sent_at_the_end_does_not_overlap_and_is_not_praised_for_never_stalling(timed: Timed) -> None:
    found = timed("all-at-end")
    assert found.outcome.valid
    assert figure(found, "streaming_efficiency") == 1.0
    overlap = repetition_figures(found)["overlap"]
    assert "one chunk" in overlap.reason if overlap.value is None else overlap.value == 0


def test_a_stall_is_counted_once(timed: Timed) -> None:
    found = timed("stall")
    assert found.outcome.valid
    assert figure(found, "stall") == pytest.approx(0.5 * NATURAL_S, abs=1e-3)
    assert figure(found, "stall_count") == 1
    assert len(found.chunks) == 8


def test_a_trickle_stalls_for_half_of_its_length(timed: Timed) -> None:
    found = timed("trickle")
    assert found.outcome.valid
    assert figure(found, "streaming_efficiency") == pytest.approx(2 / 3, abs=0.01)


def test_a_line_that_falls_silent_is_given_up_after_the_time_for_it(timed: Timed) -> None:
    found = timed("hang", idle_timeout="0.4")
    assert (found.outcome.kind, found.outcome.fault) == (OutcomeKind.TIMEOUT, "timeout-idle")
    assert "not a byte for 0.4 s; 52080 bytes of body had come" in found.outcome.reason
    assert found.end_ns == (200 + 9 * 50 + 400) * MS


@pytest.mark.parametrize(
    ("script", "options", "kind", "fault", "said"),
    [
        ("two-bytes", {}, OutcomeKind.INVALID_AUDIO, "", "too short: 0.00 s"),
        ("empty", {}, OutcomeKind.INVALID_AUDIO, "", "No audio came"),
        ("json-in-200", {}, OutcomeKind.INVALID_AUDIO, "not-audio", "application/json, not audio: '{\"error\""),
        ("json-as-audio", {}, OutcomeKind.INVALID_AUDIO, "not-audio", "not audio but text"),
        ("json-as-audio", {"format": "wav"}, OutcomeKind.INVALID_AUDIO, "not-audio", "not a WAV"),
        ("web-page", {}, OutcomeKind.INVALID_AUDIO, "not-audio", "text/html"),
        ("reset", {}, OutcomeKind.INVALID_AUDIO, "truncated", "was reset after 104160 bytes"),
        ("cut", {}, OutcomeKind.INVALID_AUDIO, "truncated", "closed after 62500 bytes"),
        ("cut-length", {}, OutcomeKind.INVALID_AUDIO, "truncated", "after 104160 of 108960 bytes"),
        ("odd-byte", {}, OutcomeKind.INVALID_AUDIO, "truncated", "in the middle of a frame"),
        ("closes", {}, OutcomeKind.ERROR, "closed", "closed before an answer began"),
        ("no-answer", {"idle_timeout": "0.2"}, OutcomeKind.TIMEOUT, "timeout-idle", "not a byte for 0.2 s; 0 bytes"),
        ("hang", {"idle_timeout": "0.4"}, OutcomeKind.TIMEOUT, "timeout-idle", "not a byte for 0.4 s"),
        ("endless", {"total_timeout": "0.4"}, OutcomeKind.TIMEOUT, "timeout-total", "not complete within 0.4 s"),
        ("flood", {"max_bytes": "1000000"}, OutcomeKind.ERROR, "too-large", "larger than 1000000 bytes"),
        ("wrong-rate", {}, OutcomeKind.INVALID_AUDIO, "format", "rate=22050, expected was rate=24000"),
        ("wrong-rate", {"format": "wav"}, OutcomeKind.INVALID_AUDIO, "format", "22050 Hz, 1 channel, expected"),
        ("wrong-rate", {"format": "mp3"}, OutcomeKind.INVALID_AUDIO, "format", "22050 Hz, 1 channel, expected"),
        ("stereo", {}, OutcomeKind.INVALID_AUDIO, "format", "channels=2, expected was channels=1"),
        ("stereo", {"format": "wav"}, OutcomeKind.INVALID_AUDIO, "format", "24000 Hz, 2 channels, expected"),
        ("http-429", {}, OutcomeKind.ERROR, "http-429", "429, Retry-After: 7"),
        ("http-500", {}, OutcomeKind.ERROR, "http-500", "500: '{\"error\""),
        ("http-503", {}, OutcomeKind.ERROR, "http-503", "503, Retry-After: 30"),
        ("http-404", {}, OutcomeKind.ERROR, "http-404", "answered 404"),
        ("http-307", {}, OutcomeKind.ERROR, "redirect", "redirects to http://127.0.0.1:9/v1/audio/speech (307)"),
        ("raycast", {}, OutcomeKind.ERROR, "dialect", "(422, it misses 'text'): try dialect=raycast"),
        ("openai", {"dialect": "raycast"}, OutcomeKind.ERROR, "dialect", "try dialect=openai"),
    ],
)  # fmt: skip
def test_a_fault_has_a_kind_a_name_and_a_sentence_and_no_figures(
    script: str, options: dict[str, str], kind: OutcomeKind, fault: str, said: str
) -> None:
    found = measured(script, **options)
    assert (found.outcome.kind, found.outcome.fault) == (kind, fault)
    assert said in found.outcome.reason
    assert "\n" not in found.outcome.reason
    assert all(reading.value is None for reading in repetition_figures(found).values())


def test_a_body_that_ends_with_its_connection_is_whole() -> None:
    assert measured("until-close").outcome.valid


def test_compression_is_undone_and_shows_in_the_chunks() -> None:
    found = measured("gzip")
    assert found.outcome.valid
    assert frames(found) == 10 * 5208
    assert len(found.chunks) < 10


def test_a_proxy_that_holds_back_shows_in_the_chunks() -> None:
    found = measured("buffered")
    assert found.outcome.valid
    assert frames(found) == 10 * 5208
    assert figure(found, "ttfc") > 0.4


def test_without_streaming_the_answer_comes_whole_and_with_its_length() -> None:
    found = measured("steady", streaming=False, format="wav")
    assert found.outcome.valid
    assert found.chunks[0].at_ns > 0.4e9


def test_the_option_outranks_the_scenarios_mode() -> None:
    log = io.StringIO()
    with serving(SCRIPTS["steady"], log=log) as (url, _):
        assert from_url(url, streaming=False, stream="on").outcome.valid
        assert from_url(url, streaming=True, stream="off").outcome.valid
    said = [line for line in map(json.loads, log.getvalue().splitlines()) if line["kind"] == "answer"]
    assert [line["body"]["stream"] for line in said] == [True, False]


def test_the_probe_finds_the_dialect_and_says_how() -> None:
    for name, field in (("openai", "input"), ("raycast", "text")):
        with serving(SCRIPTS[name]) as (url, server):
            worker, launch = launched(url)
            worker.close()
        options = dict(launch.facts.options)
        assert launch.outcome.valid
        assert options["dialect"] == name
        assert options["dialect_found"] == f"an empty request was refused (422) for want of {field!r}"
        assert options["path.content-type"] == "audio/L16;rate=24000;channels=1"
        assert [part.name for part in launch.parts] == ["probe", "connect", "first_inference"]
        # The probe synthesised nothing.
        assert server.tally.requests == 1


def test_connections_are_kept_or_made_anew() -> None:
    with serving(SCRIPTS["steady"]) as (url, _):
        kept, _ = launched(url, keep_alive="on")
        cold, _ = launched(url, keep_alive="off")
        assert [mark.stage for mark in spoken(kept).stages] == []
        found = spoken(cold)
        kept.close()
        cold.close()
    assert [mark.stage for mark in found.stages] == ["connect"]
    assert 0 <= found.stages[0].start_ns < found.stages[0].end_ns <= found.chunks[0].at_ns


def test_a_kept_connection_that_the_server_has_closed_is_made_anew() -> None:
    body = to_pcm(tone((TEXT,), first=0, frames=48_000, sample_rate=24_000), 1)
    # It closes without saying so beforehand.
    head = f"HTTP/1.1 200 OK\r\nContent-Type: audio/L16\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with answering(says(head + body)) as url:
        worker, launch = launched(url, keep_alive="on", dialect="openai")
        found = spoken(worker)
        worker.close()
    assert launch.outcome.valid
    assert found.outcome.valid
    assert [mark.stage for mark in found.stages] == ["connect"]


def test_memory_and_cpu_are_the_servers_or_unknown() -> None:
    with serving(SCRIPTS["steady"]) as (url, _):
        worker, launch = launched(url)
        found = spoken(worker)
        worker.close()
        nowhere, _ = launched(url, pid="999999999")
        unknown = spoken(nowhere)
        nowhere.close()
    assert "which listens at port" in dict(launch.facts.options)["server_process"]
    assert launch.rss_loaded is not None
    assert found.memory.peak is not None
    assert found.cpu_ns is not None
    assert unknown.memory.peak is None
    assert unknown.memory.peak_reason == "process 999999999, as configured, does not exist"
    assert unknown.cpu_ns is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "needs the address of a server"),
        ("localhost:8880", "is no URL of an endpoint"),
        ("ftp://localhost", "is no URL of an endpoint"),
        ("http://localhost:99999", "is no URL"),
        ("http://me:secret@localhost", "holds credentials"),
        ("http://does-not-exist.invalid:1", "dns: the name 'does-not-exist.invalid' does not resolve"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, said: str) -> None:
    with pytest.raises(EngineRefusal, match=said):
        start(EngineOrder(engine="endpoint", url=url), clock=SystemClock(), stages=Stages(SystemClock()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dialekt": "openai"}, "unknown endpoint option 'dialekt'; known: dialect, format"),
        ({"dialect": "french"}, "dialect takes auto, openai, raycast, not 'french'"),
        ({"format": "aac"}, "format takes pcm, wav, mp3, opus, flac, not 'aac'"),
        ({"dialect": "raycast", "format": "mp3"}, "the dialect raycast has no format 'mp3'; it has pcm, wav"),
        ({"stream": "maybe"}, "stream takes on or off"),
        ({"total_timeout": "0"}, "total_timeout takes a positive number, not '0'"),
        ({"max_bytes": "many"}, "max_bytes takes a positive number"),
        ({"key_from": "KOKORO_BENCH_NO_SUCH_KEY"}, "KOKORO_BENCH_NO_SUCH_KEY that key_from names is not set"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, str], said: str) -> None:
    order = EngineOrder(engine="endpoint", url="http://127.0.0.1:9", session_options=options)
    with pytest.raises(EngineRefusal, match=said):
        start(order, clock=SystemClock(), stages=Stages(SystemClock()))


@contextmanager
def answering(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A listener that is no scripted server: `speak` gets each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    speak(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def says(answer: bytes) -> Callable[[socket.socket], None]:
    def speak(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    return speak


def test_a_port_where_nobody_listens_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    worker, launch = launched(f"http://127.0.0.1:{port}")
    worker.close()
    assert launch.outcome.kind is OutcomeKind.REFUSED
    assert launch.outcome.reason == f"refused: cannot connect to http://127.0.0.1:{port}: Connection refused"


def test_a_server_that_goes_away_between_two_requests_is_refused_then() -> None:
    with serving(SCRIPTS["steady"]) as (url, _):
        worker, launch = launched(url)
        assert launch.outcome.valid
    found = spoken(worker)
    worker.close()
    assert (found.outcome.kind, found.outcome.fault) == (OutcomeKind.ERROR, "refused")


def test_tls_where_there_is_none_is_told() -> None:
    with serving(SCRIPTS["steady"]) as (url, _):
        worker, launch = launched(url.replace("http://", "https://"))
        worker.close()
    assert launch.outcome.kind is OutcomeKind.REFUSED
    assert launch.outcome.reason.startswith("tls: no TLS with https://127.0.0.1")
    assert "does not speak TLS; perhaps the address begins with http://" in launch.outcome.reason


def test_plain_http_to_a_server_of_tls_is_told() -> None:
    with (
        answering(says(bytes.fromhex("15030300020246"))) as url,
        pytest.raises(EngineRefusal, match=r"tls: .*https://"),
    ):
        start(EngineOrder(engine="endpoint", url=url), clock=SystemClock(), stages=Stages(SystemClock()))


def test_what_speaks_no_http_is_told() -> None:
    with answering(says(b"220 mail ready\r\n\r\n")) as url, pytest.raises(EngineRefusal, match="not-http: "):
        start(EngineOrder(engine="endpoint", url=url), clock=SystemClock(), stages=Stages(SystemClock()))


def test_a_server_without_speech_tells_no_dialect() -> None:
    page = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    with (
        answering(says(page)) as url,
        pytest.raises(EngineRefusal, match=r"tells no dialect.*dialect=openai or dialect="),
    ):
        start(EngineOrder(engine="endpoint", url=url), clock=SystemClock(), stages=Stages(SystemClock()))


def test_a_connection_that_is_not_accepted_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        place = full.getsockname()
        # The kernel's queue takes one or two; who comes after them hears nothing.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(place)
        order = EngineOrder(
            engine="endpoint", url=f"http://127.0.0.1:{place[1]}",
            session_options={"dialect": "openai", "connect_timeout": "0.2"},
        )  # fmt: skip
        with pytest.raises(EngineRefusal, match=r"timeout-connect: no connection with .* within 0.2 s"):
            start(order, clock=SystemClock(), stages=Stages(SystemClock()))
        for each in waiting:
            each.close()


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/L16\r\nContent-Length: 99999999999\r\n\r\n"
    with answering(says(head)) as url:
        found = from_url(url)
    assert found.outcome.fault in ("too-large", "closed")


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert measured("steady").outcome.valid


def test_a_key_is_sent_and_stored_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH_KEY", "sk-123")
    heard: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with answering(speak) as url:
        found = from_url(url, key_from="SPEECH_KEY", keep_alive="off")
    assert found.outcome.fault == "http-401"
    assert any(b"Authorization: Bearer sk-123" in each for each in heard)
    assert "sk-123" not in repr(found)


def test_phonemes_are_refused() -> None:
    with serving(SCRIPTS["steady"]) as (url, _):
        order = EngineOrder(engine="endpoint", url=url, session_options={"dialect": "openai"})
        engine = start(order, clock=SystemClock(), stages=Stages(SystemClock()))
        with pytest.raises(EngineRefusal, match="takes text, not phonemes"):
            next(iter(engine.synthesise(SpeechRequest(text="a", voice="v", is_phonemes=True))))
        engine.close()


def test_the_second_identical_request_of_a_caching_server_is_faster_and_a_new_text_is_not(
    scripted_worker: Callable[..., Worker],
) -> None:
    worker = scripted_worker("cached")
    first, again, other = spoken(worker), spoken(worker), spoken(worker, TEXT + "!")
    worker.close()
    assert [figure(each, "ttfc") for each in (first, again, other)] == [0.6, 0.0, 0.6]


def test_only_one_connection_is_made_and_one_request_is_sent_on_it() -> None:
    script = Script(name="short", answers=(Answer(steps=(Step(audio_share=1.0),)),))
    with serving(script) as (url, server):
        found = from_url(url)
        assert found.outcome.valid
        assert server.tally.requests == 1


def test_the_request_is_what_the_dialect_says() -> None:
    bodies: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        bodies.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with answering(speak) as url:
        from_url(url, dialect="raycast", format="wav", keep_alive="off")
    head, _, body = next(each for each in bodies if each).partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /v1/audio/speech HTTP/1.1"
    assert b"Accept-Encoding: identity" in head
    assert json.loads(body)["format"] == "wav"
    assert json.loads(body)["stream"] is True
