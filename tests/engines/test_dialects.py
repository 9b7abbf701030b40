import json

import pytest

from harness.engines.dialects import OPENAI, RAYCAST, Dialect, wanted_dialect
from harness.engines.protocol import SpeechRequest

REQUEST = SpeechRequest(text="Grüß Gott.", voice="af_heart", speed=1.5, stream=True)


def test_the_openai_dialect_says_stream_and_format_explicitly() -> None:
    assert json.loads(OPENAI.body(REQUEST, container="pcm", stream=False, model="kokoro")) == {
        "input": "Grüß Gott.",
        "voice": "af_heart",
        "response_format": "pcm",
        "stream": False,
        "speed": 1.5,
        "model": "kokoro",
    }


def test_the_raycast_dialect_has_no_model_and_no_field_that_it_would_refuse() -> None:
    assert json.loads(RAYCAST.body(REQUEST, container="wav", stream=True, model="kokoro")) == {
        "text": "Grüß Gott.",
        "voice": "af_heart",
        "format": "wav",
        "stream": True,
        "speed": 1.5,
        "lang": "en-us",
    }


@pytest.mark.parametrize(
    ("voice", "language", "said"),
    [("af_heart", "en-us", None), ("af_heart", "en-gb", "b"), ("bf_emma", "en-gb", None), ("af_heart", "xx", "xx")],
)
def test_a_language_is_said_in_openais_dialect_only_where_the_voice_does_not_say_it(
    voice: str, language: str, said: str | None
) -> None:
    request = SpeechRequest(text="a", voice=voice, language=language)
    assert json.loads(OPENAI.body(request, container="pcm", stream=True, model="m")).get("lang_code") == said


ECHOED = {"text": "Hello", "input": {"text": "Hello", "voice": "x"}}


@pytest.mark.parametrize(
    ("refusal", "wanted"),
    [
        pytest.param(
            {"detail": [{"type": "missing", "loc": ["body", "input"], "msg": "Field required", "input": ECHOED}]},
            OPENAI,
            id="fastapi-repeats-the-request",
        ),
        pytest.param(
            {
                "detail": [
                    {"type": "missing", "loc": ["body", "text"], "msg": "Field required"},
                    {"type": "extra_forbidden", "loc": ["body", "input"], "msg": "Extra inputs are not permitted"},
                ]
            },
            RAYCAST,
            id="missing-and-forbidden",
        ),
        pytest.param(
            {"error": {"message": "Missing required parameter: 'input'.", "param": "input"}}, OPENAI, id="openai-param"
        ),
        pytest.param({"error": {"message": "Missing required parameter: 'input'."}}, OPENAI, id="openai-message"),
        pytest.param(
            {"detail": [{"loc": ["body", "speed"], "msg": "too large", "type": "less_than"}]}, None, id="else"
        ),
        pytest.param({"detail": "Not Found"}, None, id="a-sentence"),
        pytest.param([1], None, id="no-error"),
    ],
)
def test_a_refusal_names_the_dialect_by_the_field_that_it_misses(refusal: object, wanted: Dialect | None) -> None:
    assert wanted_dialect(json.dumps(refusal).encode()) is wanted


def test_what_is_no_json_names_no_dialect() -> None:
    assert wanted_dialect(b"<html>text is required</html>") is None
