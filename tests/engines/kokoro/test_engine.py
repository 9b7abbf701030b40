"""The real kokoro-onnx on the real ONNX Runtime, speaking with the small replica."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.core.clock import SystemClock
from harness.engines.kokoro.engine import KokoroEngine, blended, start
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest
from harness.models.files import ModelFiles

TEXT = "The kettle was on, and nobody had thought of the cups."
LONG = " ".join([TEXT] * 14)
"""More than 510 phonemes: two batches."""

Start = Callable[..., KokoroEngine]


@pytest.fixture
def order(small_replica: ModelFiles) -> EngineOrder:
    return EngineOrder(
        engine="kokoro",
        model="replica-small",
        model_path=str(small_replica.model_path),
        voices_path=str(small_replica.voices_path),
        voice="af_heart",
        threads=1,
        seed=7,
    )


@pytest.fixture
def stages() -> Stages:
    return Stages(SystemClock())


@pytest.fixture
def begin(order: EngineOrder, stages: Stages) -> Iterator[Start]:
    """Starts engines and closes them."""
    engines: list[KokoroEngine] = []

    def run(**changes: object) -> KokoroEngine:
        engines.append(start(replace(order, **changes), clock=SystemClock(), stages=stages))  # type: ignore[arg-type]
        return engines[-1]

    yield run
    for engine in engines:
        engine.close()


def refusal(begin: Start, **changes: object) -> str:
    with pytest.raises(EngineRefusal) as caught:
        begin(**changes)
    return str(caught.value)


def test_starting_is_stamped_in_its_parts(begin: Start, stages: Stages) -> None:
    begin()
    marks = stages.take()
    assert [name for name, _, _ in marks] == ["import", "session", "voices", "phonemiser"]
    assert all(end >= began for _, began, end in marks)


def test_the_facts_are_what_onnx_runtime_says(begin: Start) -> None:
    facts = begin(session_options={"arena": "off"}).facts
    assert facts.providers == ("CPUExecutionProvider",)
    assert facts.sample_rate == 24_000
    assert {"kokoro-onnx", "onnxruntime", "numpy"} <= {name for name, _ in facts.packages}
    assert facts.options == (("arena", "off"),)


def test_a_whole_text_is_one_chunk_and_its_work_is_stamped(begin: Start, stages: Stages) -> None:
    engine = begin()
    stages.take()
    (audio,) = engine.synthesise(SpeechRequest(text=TEXT, voice="af_heart"))
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    # 54 characters: about four seconds.
    assert 1.5 < len(audio) / 24_000 < 12
    names = [name for name, _, _ in stages.take()]
    assert names.count("inference") == 1
    assert "phonemise" in names


def test_a_text_of_two_batches_streams_in_two_chunks(begin: Start, stages: Stages) -> None:
    engine = begin()
    stages.take()
    chunks = list(engine.synthesise(SpeechRequest(text=LONG, voice="af_heart", stream=True)))
    assert len(chunks) == 2
    assert [name for name, _, _ in stages.take()].count("inference") == 2


def test_a_stream_that_is_given_up_leaves_the_engine_usable(begin: Start) -> None:
    engine = begin()
    chunks = engine.synthesise(SpeechRequest(text=LONG, voice="af_heart", stream=True))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert len(list(engine.synthesise(SpeechRequest(text=TEXT, voice="af_heart")))) == 1


def test_nothing_is_done_before_the_first_chunk_is_asked_for(begin: Start, stages: Stages) -> None:
    engine = begin()
    stages.take()
    engine.synthesise(SpeechRequest(text=TEXT, voice="af_heart"))
    assert stages.take() == []


def test_the_seed_decides_the_noise(begin: Start) -> None:
    def spoken(seed: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        (audio,) = begin(seed=seed).synthesise(SpeechRequest(text="Hello.", voice="af_heart"))
        return audio

    assert np.array_equal(spoken(3), spoken(3))
    assert not np.array_equal(spoken(3), spoken(4))


def test_speed_shortens_the_audio(begin: Start) -> None:
    engine = begin()
    slow, fast = (
        len(next(iter(engine.synthesise(SpeechRequest(text=TEXT, voice="af_heart", speed=speed)))))
        for speed in (0.8, 1.6)
    )
    assert 1.5 < slow / fast < 2.5


def test_phonemes_are_spoken_as_they_are(begin: Start, stages: Stages) -> None:
    engine = begin()
    stages.take()
    (audio,) = engine.synthesise(SpeechRequest(text="hɛloʊ", voice="af_heart", is_phonemes=True))
    assert len(audio) > 0
    assert "phonemise" not in [name for name, _, _ in stages.take()]


def test_an_unpronounceable_text_raises_what_kokoro_onnx_raises(begin: Start) -> None:
    with pytest.raises(ValueError, match="phonem"):
        list(begin().synthesise(SpeechRequest(text="<>", voice="af_heart")))


def test_a_provider_that_this_build_lacks_is_refused_and_not_replaced(begin: Start) -> None:
    told = refusal(begin, provider="rocm")
    assert told.startswith("provider 'rocm' is not in this build of ONNX Runtime ")
    assert told.endswith("it comes with onnxruntime-rocm")


def test_an_unknown_provider_is_refused(begin: Start) -> None:
    assert refusal(begin, provider="gpu") == "unknown provider 'gpu'"


def test_a_voice_that_the_file_lacks_is_refused_with_those_that_it_has(begin: Start) -> None:
    told = refusal(begin, voice="af_hart")
    assert told.startswith("voice 'af_hart' is not in the voices file; it has af_")
    assert "af_heart" in told


def test_a_model_that_is_not_onnx_is_refused(begin: Start, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"GIF89a" * 100)
    told = refusal(begin, model_path=str(file))
    assert "cannot load the model" in told
    assert "\n" not in told


def test_a_voices_file_that_is_none_is_refused(begin: Start, tmp_path: Path) -> None:
    file = tmp_path / "voices.npz"
    file.write_bytes(b"not an archive")
    assert refusal(begin, voices_path=str(file)).startswith("kokoro-onnx cannot use the voices file: ")


@pytest.mark.parametrize(
    "options",
    [
        {"graph_optimization": "basic"},
        {"graph_optimization": "all"},
        {"execution_mode": "parallel", "inter_threads": "2"},
        {"arena": "off", "memory_pattern": "off"},
        {"spinning": "off"},
        {"arena_shrink": "on"},
    ],
)
def test_session_options_do_not_keep_it_from_speaking(begin: Start, options: dict[str, str]) -> None:
    assert len(list(begin(session_options=options).synthesise(SpeechRequest(text="Hello.", voice="af_heart")))) == 1


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("arenna", "on", "unknown session option 'arenna'; known: graph_optimization, "),
        ("arena", "maybe", "session option arena takes on or off, not 'maybe'"),
        ("arena_shrink", "maybe", "session option arena_shrink takes on or off, not 'maybe'"),
        (
            "graph_optimization",
            "most",
            "session option graph_optimization takes disable, basic, extended, all, not 'most'",
        ),
        ("execution_mode", "fast", "session option execution_mode takes sequential, parallel, not 'fast'"),
        ("inter_threads", "two", "session option inter_threads takes a count, not 'two'"),
    ],
)
def test_a_session_option_that_makes_no_sense_is_refused(begin: Start, name: str, value: str, told: str) -> None:
    assert refusal(begin, session_options={name: value}).startswith(told)


def test_a_text_is_phonemised_in_the_voices_own_language_or_in_the_chosen_one(begin: Start) -> None:
    engine = begin(voice="af_heart+af_bella")
    asked: list[str] = []
    phonemise = engine._kokoro.tokenizer.phonemize

    def listen(text: str, lang: str) -> str:
        asked.append(lang)
        return str(phonemise(text, lang))

    engine._kokoro.tokenizer.phonemize = listen
    for language in ("", "en-gb"):
        request = SpeechRequest(text="A bath.", voice="af_heart+af_bella", language=language)
        assert sum(map(len, engine.synthesise(request))) > 0
    assert asked == ["en-us", "en-gb"]


def test_a_blend_is_the_mean_of_its_voices() -> None:
    first, second = np.full((511, 1, 256), 1.0), np.full((510, 1, 256), 4.0, dtype=np.float32)
    blend = blended([first, second])
    assert blend.shape == (510, 1, 256)
    assert (blend == 2.5).all()
    assert blended([second]) is second


def test_a_language_that_espeak_lacks_is_refused_at_the_start(begin: Start) -> None:
    assert "the language 'xx' cannot be spoken: " in refusal(begin, language="xx")
