"""The server and programs that were not written for it: OpenAI's client, and a fuzzer of its description."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, core, given, settings
from hypothesis.internal import entropy
from hypothesis.internal.conjecture import engine
from hypothesis.strategies._internal import collections as drawn_collections
from hypothesis.strategies._internal import core as drawn_core

from harness.core.clock import SystemClock
from harness.core.records.repetition import EngineFacts
from harness.engines.pooled.engine import Opened
from harness.engines.pooled.splitter import split_phonemes
from harness.engines.pooled.synthesizer import Synthesizer
from harness.engines.protocol import Stages
from harness.server.reference.app import create_app
from harness.server.reference.service import Service
from harness.server.reference.settings import Settings
from tests.server.conftest import Serve, Tones, pcm, serving, tone

OPERATIONS = (
    "POST /v1/audio/speech",
    "GET /v1/models",
    "GET /v1/audio/voices",
    "GET /voices",
    "GET /health",
    "GET /status",
    "GET /cache-status",
    "GET /optimization-status",
    "GET /startup-progress",
    "GET /metrics",
)
TEXT = "the quick brown fox jumps over a lazy dog. nobody says a word."


def test_the_openai_client_streams_unchanged(serve: Serve, tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    with serve() as served:
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none is needed", max_retries=0)
        speech = client.audio.speech.with_streaming_response
        with speech.create(model="tts-1", voice="af_heart", input=TEXT, response_format="pcm") as answer:
            streamed = b"".join(answer.iter_bytes(1_024))
        whole = client.audio.speech.create(model="kokoro", voice="af_heart", input=TEXT, response_format="wav")
        whole.write_to_file(tmp_path / "speech.wav")
        assert [each.id for each in client.models.list()] == ["kokoro", "tts-1", "tts-1-hd"]
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
        assert "no voice 'alloy'" in refused.value.response.text
        client.close()
    first, second = split_phonemes(TEXT)
    assert streamed == pcm(tone(first)) + b"\0" * 12_000 + pcm(tone(second))
    assert (tmp_path / "speech.wav").read_bytes()[44:] == streamed


def _description() -> dict[str, object]:
    def no_synthesizer(announce: object) -> object:
        raise NotImplementedError

    service = Service(Settings(), open_synthesizer=no_synthesizer, clock=SystemClock())  # type: ignore[arg-type]
    found: dict[str, object] = create_app(service).openapi()
    return found


@pytest.fixture(scope="module")
def schema() -> Iterator[Any]:
    """Schemathesis's view of the description. It swaps parts of Hypothesis for its own, which no other test may see."""
    swapped = (
        (core, "RepresentationPrinter"),
        (core, "BUFFER_SIZE"),
        (engine, "BUFFER_SIZE"),
        (drawn_collections, "BUFFER_SIZE"),
        (drawn_core, "is_first_param_referenced_in_function"),
        (entropy, "register_random"),
    )
    with pytest.MonkeyPatch.context() as kept:
        for module, name in swapped:
            kept.setattr(module, name, getattr(module, name))
        import schemathesis

        yield schemathesis.openapi.from_dict(_description())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One server for all examples."""
    clock = SystemClock()
    synthesizer = Synthesizer([("tones", Tones())], clock=clock, stages=Stages(clock))
    facts = EngineFacts(providers=("TonesProvider",), sample_rate=24_000)
    opened = Opened(synthesizer=synthesizer, facts=facts, close=synthesizer.close)
    with serving(Service(Settings(), open_synthesizer=lambda _announce: opened, clock=clock)) as served:
        served.until(lambda: served.service.state == "ready")
        yield served.url


def test_every_operation_of_the_description_is_tried(schema: Any) -> None:
    assert tuple(found.ok().label for found in schema.get_all_operations()) == OPERATIONS


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_is_sent_is_answered_as_described(operation: str, schema: Any, url: str) -> None:
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    method, path = operation.split()

    @given(case=schema[path][method].as_strategy())
    @settings(
        max_examples=20,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: Any) -> None:
        # A text that is well-formed may still have nothing to speak in it, and a name may be no voice's.
        case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance], timeout=60)

    holds()
