"""The server over real sockets, as clients see it."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from harness.core.clock import SystemClock
from harness.engines.http.engine import start
from harness.engines.pooled.splitter import split_phonemes
from harness.engines.pooled.synthesizer import WARM_UP
from harness.engines.protocol import EngineOrder, SelfReporting, Stages
from harness.engines.speech import SpeechRequest
from tests.server.conftest import PATIENCE, Serve, Served, Tones, pcm, tone

TEXT = "the quick brown fox jumps over a lazy dog. nobody says a word about it for a while."
PIECES = split_phonemes(TEXT)
SILENCE = np.zeros(6_000, dtype=np.float32)
SOUND = np.concatenate([tone(PIECES[0]), SILENCE, tone(PIECES[1])])
SPEECH = "/v1/audio/speech"


def ask(served: Served, **body: Any) -> httpx.Response:
    return httpx.post(served.url + SPEECH, json=body, timeout=PATIENCE)


@pytest.fixture(scope="module")
def text_is_two_pieces() -> None:
    assert len(PIECES) == 2


@pytest.mark.usefixtures("text_is_two_pieces")
@pytest.mark.parametrize(
    "body",
    [
        {"input": TEXT, "response_format": "pcm"},
        {"input": TEXT, "response_format": "pcm", "stream": False, "unheard_of": [1]},
        {"text": TEXT},
        {"text": TEXT, "format": "pcm", "stream": True, "lang": "en-gb"},
    ],
    ids=["openai streamed", "openai whole", "raycast whole", "raycast streamed"],
)
def test_both_dialects_give_the_same_speech(serve: Serve, body: dict[str, Any]) -> None:
    with serve() as served:
        answer = ask(served, **body)
    assert (answer.status_code, answer.content) == (200, pcm(SOUND))
    assert answer.headers["content-type"] == "audio/L16;rate=24000;channels=1"
    assert answer.headers["x-provider"] == "TonesProvider"
    streamed = body.get("stream", "input" in body)
    assert ("content-length" in answer.headers) is not streamed
    assert ("transfer-encoding" in answer.headers) is streamed


@pytest.mark.parametrize("form", ["streamed", "whole"])
@pytest.mark.parametrize(
    ("container", "kind", "more"),
    [("wav", "audio/wav", 0), ("flac", "audio/flac", 0), ("opus", "audio/ogg", 0), ("mp3", "audio/mpeg", 3_000)],
)
def test_every_format_decodes_to_the_same_length(serve: Serve, container: str, kind: str, more: int, form: str) -> None:
    with serve() as served:
        answer = ask(served, input=TEXT, response_format=container, stream=form == "streamed")
    assert answer.headers["content-type"] == kind
    body = with_length(answer.content) if container == "flac" else answer.content
    with soundfile.SoundFile(io.BytesIO(body)) as file:
        assert (file.samplerate, file.channels) == (24_000, 1)
        blocks = []
        while len(block := file.read(24_000, dtype="float32")):
            blocks.append(block)
    audio = np.concatenate(blocks)
    # A streamed mp3 keeps its encoder's delay, which only a header at its end could tell.
    assert 0 <= len(audio) - len(SOUND) <= more
    if container in ("wav", "flac"):
        np.testing.assert_allclose(audio, SOUND, atol=1e-4)


def with_length(flac: bytes) -> bytes:
    """STREAMINFO with its count of samples, 36 bits, as libsndfile needs it and a stream cannot know it."""
    assert flac[:4] == b"fLaC"
    told = int.from_bytes(flac[21:26], "big")
    assert told & 0xFFFFFFFFF in (0, len(SOUND))
    return flac[:21] + (told & ~0xFFFFFFFFF | len(SOUND)).to_bytes(5, "big") + flac[26:]


def test_a_streamed_wav_says_that_its_size_is_not_known_and_a_whole_one_says_it(serve: Serve) -> None:
    with serve() as served:
        streamed = ask(served, text=TEXT, format="wav", stream=True).content
        whole = ask(served, text=TEXT, format="wav").content
    assert streamed[4:8] == streamed[40:44] == b"\xff\xff\xff\xff"
    assert int.from_bytes(whole[40:44], "little") == len(whole) - 44 == 2 * len(SOUND)
    assert streamed[44:] == whole[44:]


def test_the_first_piece_is_there_before_the_second_is_spoken(serve: Serve) -> None:
    tones = Tones()
    with serve(tones) as served:
        served.until(lambda: len(tones.spoken) == len(WARM_UP))
        hold = Tones()
        tones.create, first = _one_then_hold(tones, hold), len(pcm(tone(PIECES[0]))) + 2 * len(SILENCE)
        with httpx.stream("POST", served.url + SPEECH, json={"text": TEXT, "stream": True}, timeout=PATIENCE) as answer:
            received = b""
            parts = answer.iter_raw()
            while len(received) < first:
                received += next(parts)
            assert len(received) == first
            hold.go_on.set()
            assert received + b"".join(parts) == pcm(SOUND)


def _one_then_hold(tones: Tones, hold: Tones) -> Any:
    hold.go_on.clear()
    turns = iter([tones.create])

    def create(*args: Any, **options: Any) -> Any:
        return next(turns, hold.create)(*args, **options)

    return create


def test_a_missing_text_is_told_in_the_words_that_the_harness_understands(serve: Serve) -> None:
    with serve() as served:
        openai, raycast = ask(served), ask(served, text=TEXT, input_text="?")
    assert (openai.status_code, openai.json()["detail"][0]["loc"][-1]) == (422, "input")
    assert raycast.json()["detail"][0]["type"] == "extra_forbidden"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"text": ""}, "at least 1 character"),
        ({"text": "a" * 4_501}, "at most 4500 characters"),
        ({"input": TEXT, "voice": "nobody"}, "no voice 'nobody'"),
        ({"input": TEXT, "speed": 0.4}, "greater than or equal to 0.5"),
        ({"input": TEXT, "speed": "1"}, "valid number"),
        ({"input": TEXT, "response_format": "aac"}, "'mp3', 'opus'"),
        ({"input": TEXT, "model": "gpt"}, "'kokoro'"),
        ({"text": TEXT, "format": "mp3"}, "'pcm' or 'wav'"),
        ({"text": TEXT, "lang": "tlh"}, "not supported"),
        ({"text": "?!"}, "nothing to speak"),
        ({"text": TEXT, "\ud800": 1}, "unicode"),
        ([TEXT], "valid dictionary"),
    ],
)
def test_what_makes_no_sense_is_refused_and_says_why(serve: Serve, body: Any, told: str) -> None:
    with serve() as served:
        answer = httpx.post(served.url + SPEECH, content=json.dumps(body), headers={"content-type": "application/json"})
        requests = served.report(requests=1)["requests"]
    assert answer.status_code == 422
    assert told in json.dumps(answer.json())
    assert requests["refused"] == 1


def test_characters_that_nobody_can_speak_are_left_out(serve: Serve) -> None:
    tones = Tones()
    with serve(tones) as served:
        body = '{"text": "one\\u0000two\\u0007three."}'
        answer = httpx.post(served.url + SPEECH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert tones.spoken[-1] == "one two three."


def test_health_models_voices_and_providers_of_a_ready_server(serve: Serve) -> None:
    with serve() as served, httpx.Client(base_url=served.url) as client:
        assert client.get("/health").json() == {"status": "ready", "detail": ""}
        assert [each["id"] for each in client.get("/v1/models").json()["data"]] == ["kokoro", "tts-1", "tts-1-hd"]
        assert client.get("/v1/audio/voices").json() == client.get("/voices").json()
        assert client.get("/voices").json() == {"voices": ["af_heart", "am_puck"]}
        assert client.get("/status").json()["providers"] == ["TonesProvider"]


def test_the_state_is_where_the_raycast_dialect_has_it(serve: Serve) -> None:
    with serve(cache_bytes=1 << 22) as served, httpx.Client(base_url=served.url) as client:
        assert client.get("/startup-progress").json() == {
            "status": "ready", "detail": "", "steps": {"load": True, "warm_up": True}, "progress": 1.0
        }  # fmt: skip
        for _ in range(2):
            ask(served, text=TEXT)
        cache = client.get("/cache-status").json()
        assert cache == {"enabled": True, **client.get("/status").json()["cache"]}
        assert (cache["hits"], cache["misses"], cache["hit_rate"]) == (len(PIECES), len(PIECES), 0.5)
        told = client.get("/optimization-status").json()
        assert (told["providers"], told["fallbacks"]) == (["TonesProvider"], [])
        assert sum(each["jobs"] for each in told["sessions"]) == len(PIECES)


def test_a_listener_in_the_raycast_dialect_reads_the_state_there(serve: Serve) -> None:
    with serve(cache_bytes=1 << 22) as served:
        order = EngineOrder(engine="endpoint", url=served.url, session_options={"dialect": "raycast"})
        engine = start(order, clock=SystemClock(), stages=Stages(SystemClock()))
        assert isinstance(engine, SelfReporting)
        figures = dict(engine.own_figures().figures)
        engine.close()
    assert figures["cache-status.limit"] == figures["cache.limit"] == 1 << 22
    assert figures["optimization-status.waiting_pieces"] == 0


def test_the_progress_is_told_while_it_starts_and_the_rest_is_not_there_yet(serve: Serve) -> None:
    with serve() as served:
        served.service.drain()
        assert httpx.get(f"{served.url}/startup-progress").json()["status"] == "draining"
        for path in ("/cache-status", "/optimization-status"):
            assert httpx.get(f"{served.url}{path}").status_code == 503


def test_it_is_not_ready_before_it_is_warm(serve: Serve) -> None:
    tones = Tones()
    tones.go_on.clear()
    with ThreadPoolExecutor(1) as threads:
        entered = serve(tones)
        waiting = threads.submit(entered.__enter__)
        try:
            while not tones.spoken:
                pass
            assert not waiting.done()
        finally:
            tones.go_on.set()
        served = waiting.result(PATIENCE)
        assert httpx.get(f"{served.url}/health").status_code == 200
        entered.__exit__(None, None, None)


def test_a_request_while_it_starts_or_drains_is_told_to_come_again(serve: Serve) -> None:
    with serve() as served:
        served.service.drain()
        # The last has no text: whoever asks so whether the server is ready must not take a 422 for a yes.
        asked = (ask(served, text=TEXT), httpx.get(f"{served.url}/voices"), ask(served))
        for answer in (httpx.get(f"{served.url}/health"), *asked):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_the_cache_answers_the_second_time_and_is_accounted_for_apart(serve: Serve) -> None:
    tones = Tones()
    with serve(tones, cache_bytes=1 << 22) as served:
        first, second = (ask(served, text=TEXT).content for _ in range(2))
        report = served.report(requests=2)
    assert first == second
    assert len(tones.spoken) == len(WARM_UP) + len(PIECES)
    assert report["audio_seconds"] == {"computed": len(SOUND) / 24_000, "cached": len(SOUND) / 24_000}
    assert report["computed"]["ttfa"]["n"] == report["cached"]["ttfa"]["n"] == 1


def test_a_stampede_is_spoken_once(serve: Serve) -> None:
    tones = Tones(pace=0.001)
    with serve(tones, cache_bytes=1 << 22) as served, ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: ask(served, text=TEXT).content, range(32)))
    assert set(answers) == {pcm(SOUND)}
    assert len(tones.spoken) == len(WARM_UP) + len(PIECES)


def test_metrics_are_what_prometheus_reads(serve: Serve) -> None:
    with serve(cache_bytes=1 << 22) as served:
        ask(served, text=TEXT)
        ask(served, text="?!")
        served.report(requests=2)
        answer = httpx.get(f"{served.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    line = re.compile(
        r'(# HELP [a-z_]+ .+|# TYPE [a-z_]+ (counter|gauge|histogram)|[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.e+-]+)'
    )
    lines = answer.text.splitlines()
    assert all(line.fullmatch(each) for each in lines)
    assert 'kokoro_requests_total{became="valid"} 1.0' in lines
    assert 'kokoro_requests_total{became="refused"} 1.0' in lines
    assert 'kokoro_ttfa_seconds_bucket{cached="no",le="+Inf"} 1.0' in lines


def test_the_harness_hears_what_the_server_says_it_sent(serve: Serve) -> None:
    """Same frames, same order of events; their times are compared by benchmarks.server_agreement."""
    stages = Stages(SystemClock())
    with serve() as served:
        engine = start(
            EngineOrder(engine="endpoint", url=served.url, voice="af_heart"), clock=SystemClock(), stages=stages
        )
        heard = list(engine.synthesise(SpeechRequest(text=TEXT, voice="af_heart", stream=True)))
        engine.close()
        # The empty request by which the dialect was found is the first.
        report = served.report(requests=2)
    assert dict(engine.facts.options)["dialect"] == "openai"
    audio = np.concatenate(heard)
    assert len(audio) == len(SOUND)
    assert report["audio_seconds"] == {"computed": len(SOUND) / 24_000, "cached": 0.0}
    figures = report["computed"]
    assert set(figures) == {"ttfb", "ttfc", "ttfa", "latency", "rtf", "streaming_efficiency", "overlap", "stall"}
    assert figures["ttfb"]["median"] <= figures["ttfa"]["median"] <= figures["latency"]["median"]
