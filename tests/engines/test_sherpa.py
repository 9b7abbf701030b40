"""The engine sherpa-onnx against a stand-in with the same names: the package itself comes with a runtime.

The files that it reads are real: made of a real graph, and read back by onnx and NumPy.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from kokoro_onnx.config import DEFAULT_VOCAB
from onnx import TensorProto, helper

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.clock import SystemClock
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.sherpa.engine import LONGEST, SherpaEngine, sentences, start
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest

Start = Callable[..., SherpaEngine]
VOICES = ("af_heart", "am_puck")


@dataclass
class Configuration:
    """One of sherpa-onnx's configurations: keeps what it is given."""

    given: dict[str, Any] = field(default_factory=dict)

    def __call__(self, **given: Any) -> SimpleNamespace:
        self.given = given
        return SimpleNamespace(**given)


class OfflineTts:
    """Speaks each phoneme as one sample of its code; keeps the requests."""

    made: list["OfflineTts"]

    def __init__(self, configuration: Any) -> None:
        self.configuration = configuration
        self.asked: list[Any] = []
        self.made.append(self)

    def generate(self, text: str, given: Any) -> SimpleNamespace:
        assert text == ""
        self.asked.append(given)
        return SimpleNamespace(samples=[float(code) for part in given.phoneme_codepoints for code in part])


@pytest.fixture
def stages() -> Stages:
    return Stages(SystemClock())


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineOrder:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "cache"))
    node = helper.make_node("Identity", ["tokens"], ["audio"])
    ends = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, None]) for name in ("tokens", "audio")]
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]))
    helper.set_model_props(model, {"made_by": "this test"})
    onnx.save(model, tmp_path / "a.onnx")
    styles = {name: np.full((510, 1, 256), number, np.float32) for number, name in enumerate(reversed(VOICES))}
    with (tmp_path / "a.bin").open("wb") as file:
        np.savez(file, **styles)
    return EngineOrder(
        engine="sherpa-onnx",
        model_path=str(tmp_path / "a.onnx"),
        voices_path=str(tmp_path / "a.bin"),
        voice="af_heart",
    )


@pytest.fixture
def begin(order: EngineOrder, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Start:
    OfflineTts.made = []
    module = ModuleType("sherpa_onnx")
    vars(module).update(
        {
            "__version__": "2.0.1",
            "OfflineTts": OfflineTts,
            "GenerationConfig": SimpleNamespace,
            **{f"OfflineTts{part}Config": Configuration() for part in ("", "Model", "KokoroModel")},
        }
    )
    monkeypatch.setitem(sys.modules, "sherpa_onnx", module)
    return lambda **changes: start(replace(order, **changes), clock=SystemClock(), stages=stages)


def test_its_files_hold_the_same_weights_voices_and_symbols(begin: Start, order: EngineOrder) -> None:
    begin(threads=2)
    configured = OfflineTts.made[0].configuration.model
    assert (configured.num_threads, configured.provider) == (2, "cpu")
    source, described = onnx.load(order.model_path), onnx.load(configured.kokoro.model)
    onnx.checker.check_model(described)
    assert described.graph == source.graph
    metadata = {entry.key: entry.value for entry in described.metadata_props}
    assert metadata["made_by"] == "this test"
    assert (metadata["model_type"], metadata["style_dim"], metadata["n_speakers"]) == ("kokoro", "510,1,256", "2")
    assert metadata["speaker_names"] == ",".join(VOICES)
    voices = np.fromfile(configured.kokoro.voices, dtype="<f4").reshape(2, 510, 1, 256)
    assert [voice.mean() for voice in voices] == [1.0, 0.0], "in the order of the names"
    lines = Path(configured.kokoro.tokens).read_text(encoding="utf-8").splitlines()
    assert {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in lines} == DEFAULT_VOCAB


def test_a_changed_model_gets_files_of_its_own_and_the_same_one_does_not(begin: Start, order: EngineOrder) -> None:
    begin()
    begin()
    Path(order.model_path).write_bytes(Path(order.model_path).read_bytes() + b"\x1a\x03abc")
    begin()
    first, second, third = (made.configuration.model.kokoro.model for made in OfflineTts.made)
    assert first == second
    assert third != first


def test_files_that_were_cut_short_are_made_again(begin: Start) -> None:
    begin()
    made = OfflineTts.made[0].configuration.model.kokoro
    paths = [Path(each) for each in (made.model, made.voices, made.tokens)]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        os.truncate(path, 5)
    begin()
    assert [path.read_bytes() for path in paths] == before


def test_threads_are_its_own_where_an_arm_sets_none(begin: Start) -> None:
    begin()
    assert not hasattr(OfflineTts.made[0].configuration.model, "num_threads")


def test_a_whole_text_is_one_chunk_and_its_work_is_stamped(begin: Start, stages: Stages) -> None:
    engine = begin(session_options={"silence_scale": "0.5"})
    assert [name for name, _, _ in stages.take()] == ["import", "voices", "session", "phonemiser"]
    (audio,) = engine.synthesise(SpeechRequest(text="Two. Two.", voice="am_puck", speed=1.25, language="en-gb"))
    assert audio.dtype == np.float32
    (asked,) = OfflineTts.made[0].asked
    assert (asked.sid, asked.speed, asked.silence_scale) == (1, 1.25, 0.5)
    sentence = [ord(symbol) for symbol in engine.tokenizer.phonemize("Two.", "en-gb")]
    assert asked.phoneme_codepoints == [sentence, sentence]
    assert [name for name, _, _ in stages.take()] == ["phonemise", "inference"]


def test_a_stream_comes_sentence_by_sentence_and_may_be_given_up(begin: Start) -> None:
    engine = begin()
    request = SpeechRequest(text="ab. cde. f", voice="af_heart", stream=True, is_phonemes=True)
    given_up = engine.synthesise(request)
    next(given_up)
    given_up.close()  # type: ignore[attr-defined]
    assert len(OfflineTts.made[0].asked) == 1, "no later sentence is synthesised"
    assert [len(chunk) for chunk in engine.synthesise(request)] == [3, 4, 1]
    assert not hasattr(OfflineTts.made[0].asked[0], "silence_scale"), "its own default"


def test_a_sentence_longer_than_the_model_takes_is_cut_between_words() -> None:
    words = " ".join(["abcdefg"] * 200)
    parts = sentences(f"{words}. x")
    assert " ".join(parts) == f"{words}. x"
    assert max(map(len, parts)) <= LONGEST


def test_a_voice_that_it_lacks_is_a_failure_of_the_request(begin: Start) -> None:
    with pytest.raises(SpeechFailure, match="no voice 'af_bella'"):
        list(begin().synthesise(SpeechRequest(text="a", voice="af_bella")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"provider": "cuda"}, "sherpa-onnx runs on the CPU here, not on 'cuda'"),
        ({"provider_options": {"a": "b"}}, "has no provider options"),
        ({"voice": "af_bella"}, "voice 'af_bella' is not in the voices file; it has af_heart, am_puck"),
        ({"model_path": "a.ort"}, "sherpa-onnx takes .onnx files, not .ort"),
        ({"session_options": {"arena": "off"}}, "sherpa-onnx has no option arena; it takes silence_scale"),
        ({"session_options": {"silence_scale": "2"}}, "silence_scale takes a number above 0 and at most 1, not '2'"),
        ({"profile": "here"}, "sherpa-onnx writes no profile"),
    ],
)
def test_what_it_cannot_be_is_refused(begin: Start, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineRefusal) as refused:
        begin(**changes)
    assert said in str(refused.value)


def test_an_environment_without_it_says_how_an_arm_brings_it(begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    with pytest.raises(EngineRefusal, match=r"not installed in this environment: sherpa_onnx.*; an arm brings it: "):
        begin()


def test_a_version_that_takes_no_phonemes_is_refused(begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["sherpa_onnx"], "GenerationConfig")
    with pytest.raises(EngineRefusal, match=r"sherpa-onnx 2.0.1 takes no phonemes; version 2 does"):
        begin()


def test_voices_of_another_shape_are_refused(begin: Start, order: EngineOrder) -> None:
    with Path(order.voices_path).open("wb") as file:
        np.savez(file, af_heart=np.zeros((10, 1, 256), np.float32))
    with pytest.raises(EngineRefusal, match=r"needs voices of shape \(510, 1, 256\); af_heart has \(10, 1, 256\)"):
        begin()
