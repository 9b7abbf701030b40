import json
from dataclasses import replace

import pytest

from harness.core.records.repetition import (
    AudioFeatures,
    Canary,
    ChunkMark,
    Disturbance,
    EngineFacts,
    Launch,
    LoadPart,
    Memory,
    Outcome,
    OutcomeKind,
    Phase,
    Repetition,
    StageMark,
)
from harness.engines.protocol import EngineOrder
from harness.measure.worker.protocol import (
    PROTOCOL,
    Answer,
    CanaryOrder,
    Greeting,
    LoadOrder,
    Order,
    SynthesisOrder,
    read_answer,
    read_order,
    write_answer,
    write_order,
)

LOAD = LoadOrder(
    arm_id="replica.cpu.t2",
    launch=1,
    engine=EngineOrder(engine="kokoro", threads=2, session_options={"arena": "off"}),
    page_cache="cold",
    dedicated=True,
    slowdown=0.05,
)
SPEAK = SynthesisOrder(
    scenario_id="replica.cpu.t2/stream/chars-12/af_heart",
    launch=1,
    block=-1,
    position=3,
    phase=Phase.WARMUP,
    variant=7,
    text="Grüße, 世界 \N{SLIGHTLY SMILING FACE}\nnext line",
    voice="af_heart",
    speed=1.25,
    language="de",
    is_phonemes=True,
    stream=True,
    band_low=0.03,
    band_high=0.4,
    original_seconds=1.5,
    audio_path="first.npy",
)
LAUNCH = Launch(
    arm_id="replica.cpu.t2",
    launch=1,
    started_at=1_767_323_045.25,
    page_cache="warm",
    parts=(LoadPart(name="import", ns=400_000_000), LoadPart(name="session", ns=800_000_000)),
    rss_loaded=417_000_000,
    facts=EngineFacts(
        providers=("CPUExecutionProvider",),
        packages=(("onnxruntime", "1.31.1"),),
        options=(("arena", "off"),),
        sample_rate=24_000,
        python="3.11.7",
    ),
    dedicated=True,
)
REPETITION = Repetition(
    scenario_id="replica.cpu.t2/whole/chars-12/af_heart",
    launch=1,
    block=0,
    position=2,
    phase=Phase.MEASURED,
    variant=0,
    characters=12,
    started_at=1_767_323_046.5,
    end_ns=283_000_000,
    chunks=(ChunkMark(at_ns=283_000_000, frames=33_600),),
    stages=(StageMark(stage="inference", start_ns=2_000_000, end_ns=282_000_000),),
    first_byte_ns=1_000,
    cpu_ns=550_000_000,
    memory=Memory(rss_before=1, rss_after=2, peak=None, peak_reason="cannot be reset here"),
    disturbance=Disturbance(steal_share=0.25, others_cpu_share=None, involuntary_switches=3, marks=("steal",)),
    audio=AudioFeatures(
        sample_rate=24_000,
        frames=33_600,
        sha256="ab" * 32,
        finite=True,
        peak=0.5,
        rms_dbfs=-20.5,
        clipped_share=0.0,
        onset_frame=None,
        onset_reason="nothing is audible",
    ),
    outcome=Outcome(kind=OutcomeKind.INVALID_AUDIO, reason="The audio is silent.", stderr_tail="", fault="silent"),
)


@pytest.mark.parametrize("order", [LOAD, SPEAK, CanaryOrder(), CanaryOrder(rounds=1)])
def test_an_order_comes_out_as_it_went_in(order: Order) -> None:
    assert read_order(write_order(order)) == order


@pytest.mark.parametrize(
    "answer",
    [
        Answer(launch=LAUNCH),
        Answer(repetition=REPETITION),
        Answer(canary=Canary(numpy_ns=20, graph_ns=None, reason="not installed: onnx")),
        Answer(greeting=Greeting(protocol=PROTOCOL, pid=4242, python="3.11.7")),
        Answer(error="not an order"),
    ],
)
def test_an_answer_comes_out_as_it_went_in(answer: Answer) -> None:
    assert read_answer(write_answer(answer)) == answer


@pytest.mark.parametrize("line", [write_order(SPEAK), write_answer(Answer(error="a\nb"))])
def test_a_message_is_one_line_of_ascii(line: bytes) -> None:
    assert line.isascii()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_an_order_says_nothing_that_an_older_worker_might_not_know_unless_it_matters() -> None:
    order = LoadOrder(arm_id="a", launch=0, engine=EngineOrder(engine="scripted"))
    assert json.loads(write_order(order)) == {
        "order": "load", "arm_id": "a", "launch": 0, "engine": {"engine": "scripted"}
    }  # fmt: skip
    assert json.loads(write_order(replace(order, speak_first=False)))["speak_first"] is False


def test_what_is_unset_in_an_answer_is_not_said() -> None:
    said = json.loads(write_answer(Answer(greeting=Greeting(protocol=PROTOCOL, pid=1, python="3.13.0"))))
    assert said == {"greeting": {"protocol": PROTOCOL, "pid": 1, "python": "3.13.0", "halts": False}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"tokenizers: a warning\n", "not an order of protocol"),
        (b"\xff\xfe\n", "not an order of protocol"),
        (b"[1, 2]\n", "not an order of protocol"),
        (b'"load"\n', "not an order of protocol"),
        (b"{}\n", "not an order of protocol"),
        (b'{"order": "sing"}\n', "not one of load, speak"),
        (b'{"order": ["load"]}\n', "not an order of protocol"),
        (b'{"order": "load", "arm_id": "a"}\n', r"load\.launch: missing"),
        (b'{"order": "load", "arm_id": "a", "launch": 0, "engine": {}}\n', r"load\.engine\.engine: missing"),
        (b'{"order": "canary", "rounds": 1, "loud": true}\n', r"canary\.loud: unknown"),
    ],
)
def test_what_is_no_order_is_refused_with_the_reason(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_order(line)


@pytest.mark.parametrize(
    "line",
    [
        b"Downloading model\n",
        b"\xff\n",
        b"[]\n",
        b'{"repetition": {"scenario_id": "s"}}\n',
        b'{"canary": {"numpy_ns": "fast", "graph_ns": 1}}\n',
    ],
)
def test_what_is_no_answer_is_refused_and_shown(line: bytes) -> None:
    with pytest.raises(ValueError, match=f"not an answer of protocol {PROTOCOL}") as caught:
        read_answer(line)
    assert repr(line)[2:-3] in str(caught.value)


def test_an_answer_of_a_newer_worker_is_read_without_what_it_added() -> None:
    line = b'{"greeting": {"protocol": 1, "pid": 7, "python": "3.14.0", "mood": "good"}, "weather": "fine"}\n'
    assert read_answer(line) == Answer(greeting=Greeting(protocol=1, pid=7, python="3.14.0"))


def test_an_answer_is_refused_by_its_field() -> None:
    with pytest.raises(ValueError, match=r"canary\.numpy_ns: 'fast' is not a whole number"):
        read_answer(b'{"canary": {"numpy_ns": "fast", "graph_ns": 1}}\n')
