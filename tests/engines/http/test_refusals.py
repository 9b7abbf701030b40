import json

import pytest

from harness.engines.http.dialects import OPENAI, RAYCAST
from harness.engines.http.refusals import refusal, unknown_fields

SENT = ("input", "voice", "response_format", "stream", "speed", "model", "lang_code")
ECHO = {"input": "an unknown field 'voice' is what the text says", "stream": True}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param(
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream"], "msg": "Extra inputs are not permitted",
                         "input": ECHO}]},
            ("stream",), id="fastapi",
        ),
        pytest.param(
            {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
                        for name in ("lang_code", "model")]},
            ("model", "lang_code"), id="fastapi-two",
        ),
        pytest.param(
            {"detail": [{"loc": ["body", "speed"], "msg": "extra fields not permitted", "type": "value_error.extra"}]},
            ("speed",), id="pydantic-1",
        ),
        pytest.param(
            {"error": {"message": "Unrecognized request argument supplied: stream", "type": "invalid_request_error",
                       "param": None, "code": None}},
            ("stream",), id="openai-message",
        ),
        pytest.param(
            {"error": {"message": "Unknown parameter.", "param": "lang_code", "code": "unknown_parameter"}},
            ("lang_code",), id="openai-param",
        ),
        pytest.param({"error": "Unsupported parameter: 'stream' is not supported with this model"}, ("stream",),
                     id="unsupported"),
        pytest.param({"message": "Additional properties are not allowed ('stream', 'speed' were unexpected)"},
                     ("stream", "speed"), id="json-schema"),
        pytest.param({"message": "body/property stream is not allowed"}, ("stream",), id="a-property"),
        pytest.param({"stream": ["Unknown field."]}, ("stream",), id="by-field"),
        pytest.param({"error": {"details": [{"message": "unrecognized key: speed"}]}}, ("speed",), id="nested"),
        pytest.param("Failed to deserialize: unknown field `stream`, expected one of `input`, `voice`, `model`",
                     ("stream",), id="serde-in-plain-text"),
        pytest.param('json: unknown field "stream"', ("stream",), id="go-in-plain-text"),
        # What is wrong with a value is no reason to leave the field out.
        pytest.param({"detail": [{"type": "less_than", "loc": ["body", "speed"], "msg": "too large"}]}, (), id="value"),
        pytest.param({"error": {"message": "Unsupported value: 'pcm'", "param": "response_format",
                                "code": "unsupported_value"}}, (), id="openai-value"),
        pytest.param({"detail": "voice 'af_heart' is not supported"}, (), id="a-voice"),
        pytest.param({"detail": "Not Found", "request": ECHO}, (), id="an-echo"),
        pytest.param([[["unknown field stream"]]], (), id="no-sentence"),
        pytest.param("", (), id="nothing"),
    ],
)  # fmt: skip
def test_the_fields_that_a_refusal_calls_unknown(body: object, named: tuple[str, ...]) -> None:
    encoded = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert unknown_fields(encoded, SENT) == named


FORBIDDEN = json.dumps({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream"], "msg": "Extra"}]}).encode()


def test_a_refusal_says_which_field_to_leave_out_beside_those_that_are() -> None:
    found = refusal(422, FORBIDDEN, dialect=OPENAI, sent=SENT, left_out=("model",))
    assert (found.fault, found.status) == ("http-422", 422)
    assert str(found) == "the server does not know the field 'stream' (422): try --leave-out model,stream"


def test_only_a_refusal_of_the_request_is_read_so() -> None:
    said = str(refusal(500, FORBIDDEN, dialect=OPENAI, sent=SENT, retry_after="7"))
    assert said.startswith("the server answered 500, Retry-After: 7: ")
    assert "leave-out" not in str(refusal(422, FORBIDDEN, dialect=None, sent=()))


def test_the_other_dialect_comes_before_its_fields() -> None:
    missing = {"type": "missing", "loc": ["body", "text"], "msg": "Field required"}
    extra = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra"} for name in ("input", "model")]
    found = refusal(422, json.dumps({"detail": [missing, *extra]}).encode(), dialect=OPENAI, sent=SENT)
    assert (found.fault, str(found).partition(": ")[2]) == ("dialect", "try dialect=raycast")
    assert refusal(422, json.dumps({"detail": [missing]}).encode(), dialect=RAYCAST, sent=SENT).fault == "http-422"
