"""espeak-ng's own library, speaking. Its state is global to a process, so one engine serves all tests."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.core.clock import SystemClock
from harness.core.records.scenario import Band
from harness.engines.espeak import CHUNK_MS, EspeakEngine, start
from harness.engines.protocol import ARRIVAL, EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest
from harness.metrics.audio.features import extract
from harness.metrics.validity import check

TEXT = "The kettle was on, and nobody had thought of the cups."
STAGES = Stages(SystemClock())


@pytest.fixture(scope="module")
def engine() -> Iterator[EspeakEngine]:
    found = start(EngineOrder(engine="espeak", voice="en-us"), clock=SystemClock(), stages=STAGES)
    yield found
    found.close()


def spoken(engine: EspeakEngine, *, stream: bool = True, **changes: object) -> list[NDArray[np.float32]]:
    STAGES.take()
    fields = {"text": TEXT, "voice": "en-us", "stream": stream, **changes}
    return list(engine.synthesise(SpeechRequest(**fields)))  # type: ignore[arg-type]


def seconds(engine: EspeakEngine, chunks: list[NDArray[np.float32]]) -> float:
    return sum(map(len, chunks)) / engine.facts.sample_rate


def test_it_speaks_what_passes_for_speech_of_the_texts_length(engine: EspeakEngine) -> None:
    chunks = spoken(engine)
    audio = extract(chunks, engine.facts.sample_rate)
    outcome = check(audio, characters=len(TEXT), band=Band(low=0.03, high=0.25), expected_sample_rate=22_050)
    assert outcome.valid, outcome.reason
    assert {chunk.dtype for chunk in chunks} == {np.dtype(np.float32)}


def test_it_comes_in_pieces_each_stamped_as_it_came(engine: EspeakEngine) -> None:
    chunks = spoken(engine)
    stamps = [at for name, at, _ in STAGES.take() if name == ARRIVAL]
    assert len(chunks) == len(stamps) > 10
    assert stamps == sorted(stamps)
    assert max(map(len, chunks)) <= engine.facts.sample_rate * CHUNK_MS / 1000 + 1


def test_the_pieces_are_as_long_as_the_whole(engine: EspeakEngine) -> None:
    (whole,) = spoken(engine, stream=False)
    assert STAGES.take() == []
    # Its voice keeps a state from text to text, which shifts a few frames.
    assert sum(map(len, spoken(engine))) == pytest.approx(len(whole), rel=0.002)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_speed_divides_the_duration(engine: EspeakEngine, speed: float) -> None:
    ratio = seconds(engine, spoken(engine, speed=speed)) / seconds(engine, spoken(engine))
    assert ratio == pytest.approx(1 / speed, rel=0.12)


def test_another_language_speaks_otherwise(engine: EspeakEngine) -> None:
    assert seconds(engine, spoken(engine, voice="de")) != seconds(engine, spoken(engine))


def test_an_unknown_voice_is_refused_at_the_start(engine: EspeakEngine) -> None:
    with pytest.raises(SpeechFailure, match="no voice 'af_heart'"):
        spoken(engine, voice="af_heart")
    assert spoken(engine)


def test_phonemes_are_refused_by_name(engine: EspeakEngine) -> None:
    with pytest.raises(SpeechFailure) as caught:
        spoken(engine, is_phonemes=True)
    assert caught.value.fault == "phonemes"


def test_who_stops_listening_leaves_nothing_behind(engine: EspeakEngine) -> None:
    whole = seconds(engine, spoken(engine))
    stopped = engine.synthesise(SpeechRequest(text=TEXT * 50, voice="en-us", stream=True))
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert seconds(engine, spoken(engine)) == pytest.approx(whole, rel=0.002)


def test_its_facts_name_the_library_and_its_rate(engine: EspeakEngine) -> None:
    assert engine.facts.sample_rate == 22_050
    assert {"espeak-ng", "espeakng-loader"} <= {name for name, _ in engine.facts.packages}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"session_options": {"arena": "off"}}, "espeak-ng has no arena"),
        ({"threads": 2}, "espeak-ng has no threads"),
        ({"provider": "cuda"}, "espeak-ng has no threads or providers"),
    ],
)
def test_what_is_meant_for_another_engine_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(EngineRefusal, match=said):
        start(EngineOrder(engine="espeak", **changes), clock=SystemClock(), stages=STAGES)  # type: ignore[arg-type]
