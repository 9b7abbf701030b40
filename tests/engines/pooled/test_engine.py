"""The engine by sentence, on the small replica."""

# ruff: noqa: RUF001 - phonemes are meant as they stand

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.clock import SystemClock
from harness.engines.pooled.engine import (
    Fallback,
    SentencesEngine,
    open_synthesizer,
    start,
)
from harness.engines.pooled.engine_settings import SessionPlan, read_settings
from harness.engines.pooled.splitter import Plan, split_phonemes
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest
from harness.models.files import ModelFiles

TEXT = "A quick brown fox jumps over the dog. Then it rests for a while."


def order_of(files: ModelFiles, **options: str) -> EngineOrder:
    return EngineOrder(
        engine="kokoro-sentences",
        model_path=str(files.model_path),
        voices_path=str(files.voices_path),
        voice="af_heart",
        threads=1,
        session_options=options,
    )


@pytest.fixture(scope="module")
def stages() -> Stages:
    return Stages(SystemClock())


@pytest.fixture(scope="module")
def engine(small_replica: ModelFiles, stages: Stages) -> Iterator[SentencesEngine]:
    order = order_of(small_replica, sessions="2", cache="8", warm_up="on", arena="off")
    engine = start(order, clock=SystemClock(), stages=stages)
    yield engine
    engine.close()


def speak(engine: SentencesEngine, text: str, *, stream: bool) -> list[np.ndarray]:
    return list(engine.synthesise(SpeechRequest(text=text, voice="af_heart", stream=stream)))


def test_it_starts_in_parts_and_says_what_it_is(engine: SentencesEngine, stages: Stages) -> None:
    names = [name for name, _, _ in stages.take()]
    assert names == ["import", "session", "voices", "session", "voices", "phonemiser", "warm_up"]
    facts = engine.facts
    assert facts.providers == ("CPUExecutionProvider", "CPUExecutionProvider")
    assert dict(facts.options) == {
        "arena": "off", "sessions": "cpu:1+cpu:1", "warm_up": "on", "cache": "8", "cache_ttl": "3600",
        "first": "48", "planned_rtf": "0.85", "window": "0",
    }  # fmt: skip
    assert all(state.s_per_load > 0 for state in engine.synthesizer.pool.states())


def test_a_stream_has_a_chunk_for_each_piece(engine: SentencesEngine, stages: Stages) -> None:
    stages.take()
    chunks = speak(engine, TEXT, stream=True)
    phonemes = engine.synthesizer.synthesise(SpeechRequest(text=TEXT, voice="af_heart"))
    assert len(chunks) == len(phonemes) == 2
    assert [name for name, _, _ in stages.take()].count("inference") == 2
    # A quarter of a second of silence ends the sentence; nothing follows the last one.
    assert [int(np.count_nonzero(chunk[-6_000:])) > 0 for chunk in chunks] == [False, True]


def test_the_whole_is_the_stream_in_one_chunk(engine: SentencesEngine) -> None:
    streamed = speak(engine, TEXT, stream=True)
    (whole,) = speak(engine, TEXT, stream=False)
    np.testing.assert_array_equal(whole, np.concatenate(streamed))


def test_phonemes_are_taken_as_they_are(engine: SentencesEngine) -> None:
    (audio,) = engine.synthesise(SpeechRequest(text="həlˈoʊ ☃.", voice="af_heart", is_phonemes=True))
    assert len(audio) > 2_400
    assert split_phonemes("həlˈoʊ.") == ("həlˈoʊ.",)


@pytest.mark.parametrize(
    ("threads", "sessions", "plans"),
    [
        (0, "1", (("cpu", 0),)),
        (4, "2", (("cpu", 2), ("cpu", 2))),
        (1, "2", (("cpu", 1), ("cpu", 1))),
        (0, "cuda:1+cpu:3", (("cuda", 1), ("cpu", 3))),
    ],
)
def test_sessions_are_counted_or_named(threads: int, sessions: str, plans: tuple[tuple[str, int], ...]) -> None:
    order = EngineOrder(
        engine="kokoro-sentences", threads=threads, session_options={"sessions": sessions, "arena": "on"}
    )
    settings, left = read_settings(order)
    assert settings.sessions == tuple(SessionPlan(provider=provider, threads=count) for provider, count in plans)
    assert left.session_options == {"arena": "on"}


@pytest.mark.parametrize(
    "options",
    [
        {"sessions": "0"}, {"sessions": "cpu"}, {"sessions": "-1"}, {"sessions": "65"}, {"sessions": "cpu:1+"},
        {"warm_up": "maybe"}, {"cache": "much"}, {"cache": "-1"}, {"cache": "nan"}, {"cache_ttl": "1e99"},
        {"first": "15"}, {"first": "181"}, {"first": "short"}, {"planned_rtf": "0"}, {"planned_rtf": "1.5"},
        {"window": "0.4"}, {"window": "6"}, {"window": "soon"},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(EngineRefusal, match=next(iter(options))):
        read_settings(EngineOrder(engine="kokoro-sentences", session_options=options))


def test_the_first_segment_is_as_short_as_asked(small_replica: ModelFiles, stages: Stages) -> None:
    order = order_of(small_replica, first="24", planned_rtf="0.5")
    with closing(start(order, clock=SystemClock(), stages=stages)) as engine:
        lengths = [len(chunk) for chunk in speak(engine, TEXT, stream=True)]
        assert len(lengths) > 2
        assert dict(engine.facts.options)["first"] == "24"


@pytest.mark.parametrize("cache", ["0", "8"])
def test_the_first_segment_comes_in_windows_and_the_others_whole(
    small_replica: ModelFiles, stages: Stages, model_cache: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(model_cache))
    text = f"{TEXT[:-1]}, and sleeps, and wakes up again in the morning. {TEXT}"
    order = order_of(small_replica, window="0.7", planned_rtf="0.4", cache=cache)
    with closing(start(order, clock=SystemClock(), stages=stages)) as engine:
        stages.take()
        first = speak(engine, text, stream=True)
        assert 0.4 * 24_000 < len(first[0]) <= 0.7 * 24_000
        again = speak(engine, text, stream=True)
        (jobs,) = (count for _, count in engine.account().routes)
        phonemes = engine.synthesizer._phonemes(SpeechRequest(text=text, voice="af_heart"))
        segments = len(split_phonemes(phonemes, Plan(first=110, rtf=0.4, window=0.7)))
        assert segments > 1
        if cache == "0":
            # A pause is a part of its own, behind the last window.
            assert jobs == 2 * (len(first) - 1)
            assert len(again) == len(first)
        else:
            assert jobs == len(first) - 1
            assert len(again) == segments, "the kept audio of the first segment is whole"
            np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))


def test_a_missing_provider_is_refused_or_replaced_and_announced(small_replica: ModelFiles, stages: Stages) -> None:
    settings, order = read_settings(order_of(small_replica, sessions="rocm:1"))
    with pytest.raises(EngineRefusal, match="rocm"):
        open_synthesizer(order, settings, clock=SystemClock(), stages=stages)
    announced: list[Fallback] = []
    opened = open_synthesizer(order, settings, clock=SystemClock(), stages=stages, announce=announced.append)
    opened.close()
    assert [(each.asked, each.got) for each in announced] == [("rocm", "cpu")]
    assert "rocm" in announced[0].reason
    assert opened.facts.providers == ("CPUExecutionProvider",)


def test_a_broken_model_is_no_reason_to_fall_back(small_replica: ModelFiles, stages: Stages, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    settings, order = read_settings(
        EngineOrder(engine="kokoro-sentences", model_path=str(broken), voices_path=str(small_replica.voices_path))
    )
    with pytest.raises(EngineRefusal, match="cannot load the model"):
        open_synthesizer(order, settings, clock=SystemClock(), stages=stages, announce=lambda _: None)
