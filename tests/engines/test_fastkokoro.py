"""The engine fastkokoro against a stand-in with the same names: the package itself comes with a runtime.

The stand-in has its methods and attributes that the engine uses, and keeps what it is given.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest

from harness.core.clock import SystemClock
from harness.engines.fastkokoro.engine import FastKokoroEngine, start
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest, outcome_of

Start = Callable[..., FastKokoroEngine]


@dataclass(frozen=True)
class Settings:
    """Some of fastkokoro's settings."""

    model_path: Path | None = None
    voices_path: Path | None = None
    onnx_providers: tuple[str, ...] = ()
    onnx_provider_options: dict[str, dict[str, str]] = field(default_factory=dict)
    onnx_auto_providers: bool = True
    onnx_intra_op_num_threads: int = 6
    onnx_graph_optimization_level: str = "all"
    stream_strategy: str = "sentence"
    warmup: bool = True

    @classmethod
    def from_env(cls) -> Self:
        return cls()


class FastKokoro:
    """Speaks each character as one sample of its code, and yields a stream of two frames."""

    made: list["FastKokoro"]

    def __init__(self, settings: Settings) -> None:
        if settings.model_path == Path("broken.onnx"):
            raise ValueError("a model\nof nothing")
        self.settings = settings
        self.spoken: list[dict[str, Any]] = []
        self.session = SimpleNamespace(
            run=lambda _names, feeds, _options: [np.array([ord(each) for each in feeds["text"]], dtype="<i2")],
            get_providers=lambda: ["CPUExecutionProvider"],
        )
        self.kokoro = SimpleNamespace(tokenizer=SimpleNamespace(phonemize=lambda text, _language: text))
        self.made.append(self)

    def voices(self) -> list[str]:
        return ["af_heart", "am_puck"]

    def create(self, text: str, **spoken: Any) -> bytes:
        self.spoken.append(spoken)
        phonemes = self.kokoro.tokenizer.phonemize(text, "en-us")
        pcm: bytes = self.session.run(["audio"], {"text": phonemes}, None)[0].tobytes()
        return pcm

    async def create_stream(self, text: str, **spoken: Any) -> AsyncIterator[bytes]:
        pcm = self.create(text, **spoken)
        yield pcm[:4]
        yield pcm[4:]


@pytest.fixture
def stages() -> Stages:
    return Stages(SystemClock())


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, stages: Stages) -> Iterator[Start]:
    FastKokoro.made = []
    for name, members in (("", {}), (".config", {"Settings": Settings}), (".engine", {"FastKokoro": FastKokoro})):
        module = ModuleType(f"fastkokoro{name}")
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    order = EngineOrder(engine="fastkokoro", model_path="a.onnx", voices_path="a.bin", voice="af_heart")
    engines: list[FastKokoroEngine] = []

    def run(**changes: object) -> FastKokoroEngine:
        engines.append(start(replace(order, **changes), clock=SystemClock(), stages=stages))  # type: ignore[arg-type]
        return engines[-1]

    yield run
    for engine in engines:
        engine.close()


def test_what_an_arm_sets_replaces_its_own_settings(begin: Start) -> None:
    engine = begin(threads=2, session_options={"graph_optimization": "basic", "stream_strategy": "phrase"})
    assert FastKokoro.made[0].settings == Settings(
        model_path=Path("a.onnx"),
        voices_path=Path("a.bin"),
        onnx_providers=("CPUExecutionProvider",),
        onnx_provider_options={"CPUExecutionProvider": {}},
        onnx_auto_providers=False,
        onnx_intra_op_num_threads=2,
        onnx_graph_optimization_level="basic",
        stream_strategy="phrase",
        warmup=False,
    )
    assert engine.facts.providers == ("CPUExecutionProvider",)
    assert engine.facts.options == (("graph_optimization", "basic"), ("stream_strategy", "phrase"))


def test_threads_are_its_own_where_an_arm_sets_none(begin: Start) -> None:
    begin()
    assert FastKokoro.made[0].settings.onnx_intra_op_num_threads == 6


def test_a_whole_text_is_one_chunk_and_its_work_is_stamped(begin: Start, stages: Stages) -> None:
    engine = begin()
    assert [name for name, _, _ in stages.take()] == ["import", "session", "phonemiser"]
    (audio,) = engine.synthesise(SpeechRequest(text="abc", voice="am_puck", speed=1.25, language="en-gb"))
    assert audio.dtype == np.float32
    assert np.array_equal(audio * 32_768, [97, 98, 99])
    assert [name for name, _, _ in stages.take()] == ["phonemise", "inference"]
    assert FastKokoro.made[0].spoken == [{"voice": "am_puck", "speed": 1.25, "lang": "en-gb", "response_format": "pcm"}]


def test_a_stream_comes_in_its_frames_and_may_be_given_up(begin: Start) -> None:
    engine = begin()
    given_up = engine.synthesise(SpeechRequest(text="abc", voice="af_heart", stream=True))
    next(given_up)
    given_up.close()  # type: ignore[attr-defined]
    chunks = list(engine.synthesise(SpeechRequest(text="abc", voice="af_heart", stream=True)))
    assert [len(chunk) for chunk in chunks] == [2, 1]


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (SpeechRequest(text="a", voice="af_heart", is_phonemes=True), "phonemes"),
        (SpeechRequest(text="a", voice="af_heart", speed=0.9), "speed"),
    ],
)
def test_what_it_cannot_speak_is_a_failure_of_the_request(begin: Start, request_: SpeechRequest, fault: str) -> None:
    with pytest.raises(SpeechFailure) as failed:
        list(begin().synthesise(request_))
    assert fault in str(outcome_of(failed.value))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"provider": "cuda"}, "provider 'cuda' is not in this build of ONNX Runtime"),
        ({"provider": "abacus"}, "unknown provider 'abacus'"),
        ({"voice": "af_bella"}, "voice 'af_bella' is not in the voices file; it has af_heart, am_puck"),
        ({"model_path": "broken.onnx"}, "fastkokoro cannot start: a model of nothing"),
        (
            {"session_options": {"arena": "off"}},
            "fastkokoro has no option arena; it takes graph_optimization and stream_strategy",
        ),
        (
            {"session_options": {"stream_strategy": "word"}},
            "fastkokoro option stream_strategy takes adaptive, chunk, kokoro, phrase, sentence, not 'word'",
        ),
        ({"profile": "here"}, "fastkokoro writes no profile"),
    ],
)
def test_what_it_cannot_be_is_refused(begin: Start, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineRefusal) as refused:
        begin(**changes)
    assert said in str(refused.value)


def test_an_environment_without_it_says_how_an_arm_brings_it(begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastkokoro", None)
    monkeypatch.setitem(sys.modules, "fastkokoro.config", None)
    with pytest.raises(EngineRefusal, match=r"not installed in this environment: fastkokoro.*; an arm brings it: "):
        begin()
