"""The server and programs that were not written for it: OpenAI's client, and a fuzzer of its description."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from harness.clock import SystemClock
from harness.engines.pieces import cut
from harness.engines.protocol import Stages
from harness.engines.sentences import Opened
from harness.engines.speaker import Speaker
from harness.records.repetition import EngineFacts
from harness.server.speech.app import create_app
from harness.server.speech.service import Service
from harness.server.speech.settings import Settings
from tests.server.conftest import Serve, Tones, pcm, serving, tone

openai = pytest.importorskip("openai")
TEXT = "the quick brown fox jumps over a lazy dog. nobody says a word."


def test_the_openai_client_streams_unchanged(serve: Serve, tmp_path: Path) -> None:
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
    first, second = cut(TEXT)
    assert streamed == pcm(tone(first)) + b"\0" * 12_000 + pcm(tone(second))
    assert (tmp_path / "speech.wav").read_bytes()[44:] == streamed


def _description() -> dict[str, object]:
    def no_speaker(announce: object) -> object:
        raise NotImplementedError

    service = Service(Settings(), open_speaker=no_speaker, clock=SystemClock())  # type: ignore[arg-type]
    found: dict[str, object] = create_app(service).openapi()
    return found


schema = schemathesis.openapi.from_dict(_description())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One server for all examples."""
    clock = SystemClock()
    speaker = Speaker(
        [("tones", Tones())], made_by="tones", cache_bytes=0, cache_ttl_s=1.0, clock=clock, stages=Stages(clock)
    )
    facts = EngineFacts(providers=("TonesProvider",), sample_rate=24_000)
    opened = Opened(speaker=speaker, facts=facts, close=speaker.close)
    with serving(Service(Settings(), open_speaker=lambda _announce: opened, clock=clock)) as served:
        served.until(lambda: served.service.state == "ready")
        yield served.url


@pytest.mark.parametrize(
    "operation", [found.ok() for found in schema.get_all_operations()], ids=lambda operation: operation.label
)
def test_whatever_is_sent_is_answered_as_described(
    operation: schemathesis.schemas.APIOperation[Any, Any, Any, Any], url: str
) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=20,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: schemathesis.Case) -> None:
        # A text that is well-formed may still have nothing to speak in it, and a name may be no voice's.
        case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance], timeout=10)

    holds()
