import numpy as np
import pytest

from harness.core.clock import ScriptedClock
from harness.engines.protocol import Engine, EngineOrder, Stages
from harness.engines.scripted import SAMPLE_RATE, ScriptedEnd, ScriptedFault, start
from harness.engines.speech import EngineRefusal, SpeechRequest
from harness.metrics.audio.features import extract

MS = 1_000_000


class Bench:
    """An engine on a clock of its own."""

    def __init__(self, model: str = "scripted", seed: int = 1, **script: str) -> None:
        self.clock = ScriptedClock()
        self.stages = Stages(self.clock)
        order = EngineOrder(engine="scripted", model=model, seed=seed, script=script)
        self.engine: Engine = start(order, clock=self.clock, stages=self.stages)
        self.started = self.stages.take()

    def latency_ns(self, characters: int = 100, *, stream: bool = False) -> int:
        began = self.clock.now_ns()
        list(self.engine.synthesise(SpeechRequest(text="a" * characters, voice="v", stream=stream)))
        return self.clock.now_ns() - began


def test_the_latency_is_the_formula() -> None:
    # 100 characters are 7 s of audio: 2 ms + 0.2 · 7 s + 1 ms.
    assert Bench(noise="0").latency_ns(100) == 1_403 * MS


@pytest.mark.parametrize(
    ("model", "pace", "expected_ms"),
    [
        ("scripted", "1", 1403.0),
        ("scripted-8bit", "1", 1123.0),
        ("scripted", "2", 2806.0),
        ("scripted-8bit", "0.5", 561.5),
    ],
)
def test_pace_and_model_are_factors(model: str, pace: str, expected_ms: float) -> None:
    assert Bench(model, noise="0", pace=pace).latency_ns(100) == round(expected_ms * MS)


def test_noise_has_the_spread_that_was_asked_for_and_its_seed_decides_it() -> None:
    bench = Bench(noise="0.05")
    inference = np.array([bench.latency_ns(10) - 3 * MS for _ in range(1_000)]) / (140 * MS)
    # The standard error of the mean is 0.0016, that of the standard deviation 0.0011.
    assert abs(inference.mean() - 1.0) < 0.008
    assert abs(inference.std(ddof=1) - 0.05) < 0.006
    again = Bench(noise="0.05")
    assert [again.latency_ns(10) for _ in range(5)] == [3 * MS + round(value * 140 * MS) for value in inference[:5]]
    assert Bench(noise="0.05", seed=2).latency_ns(100) != Bench(noise="0.05").latency_ns(100)


def test_starting_takes_the_time_of_its_parts() -> None:
    assert [(name, (end - begin) // MS) for name, begin, end in Bench(pace="2").started] == [
        ("import", 800),
        ("session", 1_600),
        ("voices", 40),
        ("phonemiser", 60),
    ]


def test_a_stream_is_the_whole_in_pieces_of_200_characters() -> None:
    bench = Bench(noise="0")
    request = SpeechRequest(text="a" * 450, voice="v", stream=True)
    chunks = list(bench.engine.synthesise(request))
    assert [len(chunk) / SAMPLE_RATE for chunk in chunks] == [14.0, 14.0, 3.5]
    (whole,) = bench.engine.synthesise(SpeechRequest(text="a" * 450, voice="v"))
    assert len(whole) == sum(map(len, chunks))


def test_nothing_is_done_before_the_first_chunk_is_asked_for() -> None:
    bench = Bench()
    began = bench.clock.now_ns()
    bench.engine.synthesise(SpeechRequest(text="a", voice="v"))
    assert bench.clock.now_ns() == began


def test_the_sound_is_audible_after_its_leading_silence() -> None:
    bench = Bench()
    features = extract(list(bench.engine.synthesise(SpeechRequest(text="a" * 100, voice="v"))), SAMPLE_RATE)
    assert features.onset_frame is not None
    # 50 ms of silence; the onset's window of 10 ms may begin before it ends.
    assert 0.04 <= features.onset_frame / SAMPLE_RATE <= 0.051
    assert features.peak == pytest.approx(0.14, rel=1e-3)


@pytest.mark.parametrize(("fault", "hangs"), [("crash", False), ("hang", True)])
def test_on_a_scripted_clock_an_end_is_an_exception(fault: str, *, hangs: bool) -> None:
    with pytest.raises(ScriptedEnd) as caught:
        Bench(fault=fault).latency_ns()
    assert caught.value.hangs is hangs


def test_a_fault_strikes_long_texts_alone_where_that_is_asked_for() -> None:
    bench = Bench(fault="raise", fault_text="50")
    assert bench.latency_ns(49) > 0
    with pytest.raises(ScriptedFault):
        bench.latency_ns(50)


def test_a_refusal_and_an_exit_come_at_the_start() -> None:
    with pytest.raises(EngineRefusal, match="the script asked for a refusal"):
        Bench(fault="refuse")
    with pytest.raises(SystemExit) as caught:
        Bench(fault="exit-at-load")
    assert caught.value.code == 7


def test_silence_is_silent_and_what_is_truncated_is_short() -> None:
    (silent,) = Bench(fault="silent").engine.synthesise(SpeechRequest(text="a" * 100, voice="v"))
    assert not silent.any()
    (short,) = Bench(fault="truncate").engine.synthesise(SpeechRequest(text="a" * 100, voice="v"))
    assert len(short) == 2


@pytest.mark.parametrize("script", [{"pase": "2"}, {"pace": "fast"}, {"fault": "chrash"}, {"fault_text": "x"}])
def test_a_script_that_makes_no_sense_is_refused(script: dict[str, str]) -> None:
    with pytest.raises(EngineRefusal, match="the script"):
        Bench("scripted", 1, **script)
