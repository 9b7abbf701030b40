"""The project's own server as an engine: a real process on the small replica, heard over a real socket."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest

from harness.core.clock import SystemClock
from harness.core.errors import UsageError
from harness.core.records.scenario import Arm, ModelVariant
from harness.engines.pooled import engine as sentences
from harness.engines.pooled import over_http
from harness.engines.pooled.over_http import ServedEngine
from harness.engines.protocol import Engine, EngineOrder, Remote, Stages
from harness.engines.speech import EngineRefusal, SpeechRequest
from harness.models.files import ModelFiles
from harness.plan.arm_spec import arm_spec_of, parse_arm_spec
from tests.conftest import Command
from tests.processes import ended

TEXT = "A quick brown fox jumps over the dog. Then it rests for a while."
PATIENCE_S = 240.0


def order_of(files: ModelFiles, **options: str) -> EngineOrder:
    return EngineOrder(
        engine="kokoro-server",
        model_path=str(files.model_path),
        voices_path=str(files.voices_path),
        voice="af_heart",
        threads=1,
        session_options=options,
    )


@pytest.fixture
def launch(small_replica: ModelFiles) -> Iterator[Callable[..., ServedEngine]]:
    started: list[ServedEngine] = []

    def start(**options: str) -> ServedEngine:
        clock = SystemClock()
        started.append(over_http.start(order_of(small_replica, **options), clock=clock, stages=Stages(clock)))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


def spoken(engine: Engine) -> list[np.ndarray]:
    return list(engine.synthesise(SpeechRequest(text=TEXT, voice="af_heart", stream=True)))


def test_it_is_the_engine_by_sentence_behind_http(
    launch: Callable[..., ServedEngine], small_replica: ModelFiles
) -> None:
    engine = launch(warm_up="off", dialect="raycast", arena="off")
    assert isinstance(engine, Remote)
    facts = engine.facts
    assert facts.providers == ("CPUExecutionProvider",)
    assert dict(facts.options).items() >= {"dialect": "raycast", "arena": "off", "sessions": "cpu:1"}.items()
    clock = SystemClock()
    in_process = sentences.start(order_of(small_replica, warm_up="off", arena="off"), clock=clock, stages=Stages(clock))
    try:
        ours, theirs = np.concatenate(spoken(in_process)), np.concatenate(spoken(engine))
    finally:
        in_process.close()
    assert len(ours) == len(theirs)
    # The generator's noise is drawn anew: two syntheses of one text correlate at 0.9 (docs/replica.md).
    assert np.corrcoef(ours, theirs)[0, 1] > 0.8


def test_the_served_first_segment_is_as_short_as_asked(launch: Callable[..., ServedEngine]) -> None:
    counts = []
    for options in ({}, {"first": "16", "planned_rtf": "1"}):
        engine = launch(warm_up="off", **options)
        spoken(engine)
        counts.append(sum(count for _, count in engine.account().routes))
        assert dict(engine.facts.options)["first"] == options.get("first", "48")
    assert counts == [2, 4]


def test_memory_is_that_of_the_process_which_ends_with_the_engine_as_its_log_does(
    launch: Callable[..., ServedEngine],
) -> None:
    engine = launch(warm_up="off")
    pid = engine.server.pid
    assert pid is not None
    process = psutil.Process(pid)
    assert "serve" in process.cmdline()
    log = engine._server.log
    assert log.is_file()
    engine.close()
    assert ended(process)
    assert not log.parent.exists()


def test_the_server_of_a_worker_that_was_killed_ends_by_itself(launch: Callable[..., ServedEngine]) -> None:
    engine = launch(warm_up="off")
    process = psutil.Process(engine.server.pid)
    # What a killed process leaves behind is a closed pipe.
    supervisor = engine._server._supervisor
    assert supervisor.stdin is not None
    supervisor.stdin.close()
    assert supervisor.wait(PATIENCE_S) is not None
    assert ended(process)


def test_a_server_that_cannot_start_is_a_refusal(small_replica: ModelFiles, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    order = EngineOrder(
        engine="kokoro-server", model_path=str(broken), voices_path=str(small_replica.voices_path), voice="af_heart"
    )
    clock = SystemClock()
    with pytest.raises(EngineRefusal, match=r"the server ended with exit code \d+ before .*; its last lines: .*model"):
        over_http.start(order, clock=clock, stages=Stages(clock))


def test_the_log_of_a_server_that_cannot_start_is_kept_beside_the_results(
    small_replica: ModelFiles, tmp_path: Path, here: Command
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    model = onnx.load(small_replica.model_path)
    model.graph.node[len(model.graph.node) // 2].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "broken.onnx")
    found = here(
        "run", "--engine", "kokoro-server", "--model", "broken.onnx", "--voices", str(small_replica.voices_path),
        "-k", "text_lengths", "--text", "chars-12", "--launches", "1", "--blocks", "1", "--budget", "60s",
        TMPDIR=str(temporary),
    )  # fmt: skip
    assert found.returncode == 3, found.stdout + found.stderr
    (log,) = (tmp_path / ".kokoro-bench" / "server-logs").glob("*/kokoro-server-*.log")
    assert "NoSuchOperator" in log.read_text(encoding="utf-8")
    assert log.name in found.stdout
    assert not list(temporary.glob("kokoro-server-*"))


def test_a_path_with_a_comma_is_one_model_to_the_server(small_replica: ModelFiles, tmp_path: Path) -> None:
    odd = tmp_path / "x, y"
    odd.mkdir()
    (odd / "m.onnx").write_bytes(small_replica.model_path.read_bytes())
    files = replace(small_replica, model_path=odd / "m.onnx")
    clock = SystemClock()
    with closing(over_http.start(order_of(files), clock=clock, stages=Stages(clock))) as engine:
        assert len(spoken(engine)[0])


ARM = Arm(engine="kokoro", model=ModelVariant(name="replica", sha256="", size=0, origin="unresolved"), provider="cpu")


def test_a_side_names_it_with_the_options_of_both_its_ends() -> None:
    arm = parse_arm_spec("engine=kokoro-server,cache=64,dialect=raycast,arena=off", base=ARM, models=["replica"])
    assert arm.engine == "kokoro-server"
    assert dict(arm.session_options) == {"cache": "64", "dialect": "raycast", "arena": "off"}
    assert parse_arm_spec(arm_spec_of(arm), base=ARM, models=["replica"]) == arm
    with pytest.raises(UsageError, match="dialect"):
        parse_arm_spec("engine=kokoro-sentences,dialect=raycast", base=ARM, models=["replica"])
