import json
from dataclasses import replace

import pytest

from harness.engines.http.dialects import OPENAI, RAYCAST, Dialect, wanted_dialect
from harness.engines.speech import SpeechRequest

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
    }


@pytest.mark.parametrize("dialect", [OPENAI, RAYCAST], ids=["openai", "raycast"])
@pytest.mark.parametrize("voice", ["af_heart", "bf_emma", "nova", "alloy", "zf_xiaobei", "bf_emma+af_heart"])
def test_what_nobody_asked_for_is_not_sent(dialect: Dialect, voice: str) -> None:
    body = dialect.body(SpeechRequest(text="a", voice=voice), container="pcm", stream=True, model="kokoro")
    fixed = {dialect.text_field: "a", "voice": voice, dialect.format_field: "pcm", "stream": True}
    assert json.loads(body) == fixed | ({"model": "kokoro"} if dialect is OPENAI else {})


@pytest.mark.parametrize("dialect", [OPENAI, RAYCAST], ids=["openai", "raycast"])
def test_any_field_but_the_text_can_be_left_out(dialect: Dialect) -> None:
    request = replace(REQUEST, language="en-gb")
    whole = json.loads(dialect.body(request, container="pcm", stream=True, model="kokoro"))
    assert set(whole) == {dialect.text_field, *dialect.fields}
    for name in dialect.fields:
        body = dialect.body(request, container="pcm", stream=True, model="kokoro", leave_out=(name,))
        assert json.loads(body) == {key: value for key, value in whole.items() if key != name}
    assert json.loads(
        dialect.body(request, container="pcm", stream=True, model="kokoro", leave_out=dialect.fields)
    ) == {dialect.text_field: "Grüß Gott."}


@pytest.mark.parametrize(
    ("language", "letter"),
    [("en-us", "a"), ("en-gb", "b"), ("cmn", "z"), ("xx", "xx"), ("", None)],
)
def test_a_language_is_a_letter_in_openais_dialect_and_a_tag_in_raycasts(language: str, letter: str | None) -> None:
    request = SpeechRequest(text="a", voice="af_heart", language=language)
    assert json.loads(OPENAI.body(request, container="pcm", stream=True, model="m")).get("lang_code") == letter
    assert json.loads(RAYCAST.body(request, container="pcm", stream=True, model="m")).get("lang", "") == language


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
        pytest.param({"message": "missing field `input` at line 1 column 2"}, OPENAI, id="a-message"),
        pytest.param([1], None, id="no-error"),
    ],
)
def test_a_refusal_names_the_dialect_by_the_field_that_it_misses(refusal: object, wanted: Dialect | None) -> None:
    assert wanted_dialect(json.dumps(refusal).encode()) is wanted


def test_a_refusal_in_plain_text_names_the_dialect_in_quotes_alone() -> None:
    assert wanted_dialect(b"Failed to deserialize: missing field `input` at line 1 column 2") is OPENAI
    assert wanted_dialect(b"<html>text is required</html>") is None
