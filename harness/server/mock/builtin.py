"""The built-in scripts: a correct server, and the faults that real speech servers have shown.

Audio is given in shares of a text's natural length, so that it is plausible for any text.
"""

from collections.abc import Mapping
from types import MappingProxyType

from harness.server.mock.script import Answer, End, Framing, Freeze, Script, Step, Voice


def _wait(ms: float) -> Step:
    return Step(wait_ms=ms)


def _spoken(share: float = 1.0, *, chunks: int = 10, every_ms: float = 50) -> Step:
    """A share of the text in equal chunks; the first at once, the others `every_ms` apart."""
    return Step(steps=(Step(audio_share=share / chunks), _wait(every_ms)), repeat=chunks)


HEADER = Step(header=True)
RESET, CLOSE, HANG = (Step(end=end) for end in (End.RESET, End.CLOSE, End.HANG))
GOOD = (_wait(200), _spoken())
LATE = (_wait(600), _spoken())
JSON_ERROR = Step(body=b'{"error": {"message": "synthesis failed", "type": "server_error"}}')


def _one(name: str, meaning: str, *steps: Step, **answer: object) -> Script:
    """A script that always gives the same answer."""
    return Script(name=name, meaning=meaning, answers=(Answer(steps=steps, **answer),))  # type: ignore[arg-type]


def _status(status: int, meaning: str, **headers: str) -> Script:
    answer = Answer(
        status=status,
        steps=(JSON_ERROR,),
        content_type="application/json",
        headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()),
    )
    return Script(name=f"http-{status}", meaning=meaning, answers=(answer,))


_ALL = (
    _one("steady", "first audio after 200 ms, then a tenth every 50 ms", *GOOD),
    Script(name="openai", meaning="steady, openai's dialect alone", answers=(Answer(steps=GOOD),), dialect="openai"),
    Script(
        name="raycast", meaning="steady, raycast's dialect alone", answers=(Answer(steps=GOOD),), dialect="raycast"
    ),
    _one("header-first", "a WAV header at once, audio 600 ms later", HEADER, *LATE),
    _one("primer", "50 ms of silence at once, speech 600 ms later", HEADER, Step(silence_ms=50), *LATE),
    _one("all-at-end", "everything is sent at the end", *LATE, coalesce=1 << 40),
    _one("two-bytes", "a 200 with 2 bytes of body", Step(body=b"\0\0")),
    _one("empty", "a 200 with an empty body"),
    _one("json-in-200", "a 200 with a JSON error", JSON_ERROR, content_type="application/json"),
    _one("json-as-audio", "a 200 with a JSON error declared as audio", JSON_ERROR),
    _one("web-page", "a web page: no speech server", Step(body=b"<!doctype html>"), content_type="text/html"),
    _one("reset", "complete audio, then a connection reset", *GOOD, RESET),
    _one("cut", "a chunked body cut short", _wait(200), _spoken(0.6), CLOSE),
    _one("cut-length", "less than Content-Length says", *GOOD, CLOSE, framing=Framing.LENGTH, missing=4_800),
    _one("odd-byte", "half a frame too much", *GOOD, Step(body=b"\0")),
    _one("no-answer", "the request is taken and nothing comes", HANG),
    _one("closes", "the connection is closed without an answer", CLOSE),
    _one("stall", "a stop in the middle, half as long as the text", _wait(200), _spoken(0.3, chunks=1, every_ms=0),
         Step(wait_share=0.8), _spoken(0.7, chunks=7, every_ms=0)),
    _one("trickle", "small chunks at two thirds of the speed of speech",
         Step(steps=(Step(wait_share=0.03), Step(audio_share=0.02)), repeat=50)),
    _one("endless", "audio that never ends", Step(steps=(Step(audio_ms=100), _wait(50)), repeat=0)),
    _one("hang", "half of the audio, then silence on the line", _wait(200), _spoken(0.5), HANG),
    _one("flood", "bytes without end, as fast as they are taken", Step(steps=(Step(audio_ms=10_000),), repeat=0)),
    _one("wrong-rate", "audio of 22,050 Hz", *GOOD, sample_rate=22_050),
    _one("stereo", "audio of two channels", *GOOD, channels=2),
    _one("same-audio", "the first text's audio for every text", *GOOD, voice=Voice.FIRST),
    _one("swapped", "another concurrent request's audio", *GOOD, voice=Voice.OTHER),
    _one("mixed", "two concurrent answers in one", *GOOD, voice=Voice.MIXED),
    _status(429, "too many requests", Retry_After="7"),
    _status(500, "an error in the server"),
    _status(503, "not ready", Retry_After="30"),
    _status(404, "no such place: not a speech server"),
    _status(307, "a redirect", Location="http://127.0.0.1:9/v1/audio/speech"),
    Script(name="cached", meaning="the second identical request is answered at once", answers=(Answer(steps=LATE),),
           cached=True),
    Script(name="strict", meaning="refuses requests with fields that it does not know: stream, speed, lang_code, lang",
           answers=(Answer(steps=GOOD),), refuses="stream,speed,lang_code,lang"),
    _one("wav-pieces", "each chunk of a stream is a WAV with its own header", *GOOD, wav_pieces=True),
    _one("wav-size", "a WAV header that says 2,000,000,000 bytes", *GOOD, wav_size=2_000_000_000),
    _one("gzip", "compressed by a proxy that never flushes", *GOOD, gzip=True),
    _one("buffered", "a proxy that holds back 64 KiB", *GOOD, coalesce=1 << 16),
    _one("until-close", "a body that ends with the connection", *GOOD, framing=Framing.UNTIL_CLOSE),
    Script(name="frozen", meaning="freezes for 1 s, 2 s after the first request", answers=(Answer(steps=GOOD),),
           freeze=Freeze(at_ms=2_000, for_ms=1_000)),
    Script(name="flaky", meaning="every tenth request is refused with 503", cycle=True,
           answers=(*[Answer(steps=GOOD)] * 9, Answer(status=503, headers=(("Retry-After", "1"),), steps=(JSON_ERROR,),
                                                      content_type="application/json"))),
)  # fmt: skip

SCRIPTS: Mapping[str, Script] = MappingProxyType({script.name: script for script in _ALL})
"""Name → script."""
