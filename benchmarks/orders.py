"""What the benchmarks order: an engine with a model, a synthesis of a text by one worker or two, loads on a server."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.core.clock import SystemClock
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.scenario import Band, Utterance
from harness.engines.http.dialects import OPENAI
from harness.engines.http.target import Target, read_address, read_settings
from harness.engines.protocol import EngineOrder
from harness.measure.load.client import LoadClient
from harness.measure.load.records import Workload
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.protocol import SynthesisOrder
from harness.measure.worker.time_slicing import SlicedSynthesis, as_pausable, synthesise_in_slices
from harness.measure.worker.worker_lost import WorkerLost

VOICE = "af_heart"
TIMEOUT_S = 120.0
"""Of a load and of a synthesis."""


def engine_of(model: str, *, engine: str = "kokoro", threads: int = 0) -> EngineOrder:
    """An engine with a model of the catalogue."""
    from harness.plan.model_catalogue import model_catalogue

    files = model_catalogue().resolve(model, report=print)
    return EngineOrder(
        engine=engine,
        model_path=str(files.model_path),
        voices_path=str(files.voices_path),
        voice=VOICE,
        threads=threads,
    )


def one_thread_kokoro(model: Path, voices: Path) -> Any:  # noqa: ANN401 - kokoro-onnx has no useful types
    """kokoro-onnx with a model on one thread of the CPU."""
    import onnxruntime
    from kokoro_onnx import Kokoro

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return Kokoro.from_session(session, str(voices))


def synthesis_of(text: str, *, stream: bool = False) -> SynthesisOrder:
    """One synthesis of `text`."""
    return SynthesisOrder(
        scenario_id="scenario",
        launch=0,
        block=0,
        position=0,
        phase=Phase.MEASURED,
        variant=0,
        text=text,
        voice=VOICE,
        stream=stream,
    )


def one_by_one(workers: Sequence[ProcessHandle], order: SynthesisOrder, first: int) -> tuple[int, int]:
    """The latencies (ns) of two workers that synthesise one after the other, `first` before the other."""
    took = {place: workers[place].synthesise(order, timeout_s=TIMEOUT_S).end_ns for place in (first, 1 - first)}
    return took[0], took[1]


def in_slices(
    workers: Sequence[ProcessHandle], order: SynthesisOrder, first: int, *, slice_s: float
) -> tuple[int, int]:
    """The latencies (ns) of two workers that synthesise in slices, `first` beginning."""
    sides = [SlicedSynthesis(worker=as_pausable(worker), order=order) for worker in workers]
    synthesise_in_slices((sides[first], sides[1 - first]), slice_s=slice_s, timeout_s=TIMEOUT_S)
    return result_of(sides[0]).end_ns, result_of(sides[1]).end_ns


def result_of(side: SlicedSynthesis) -> Repetition:
    """What came of a synthesis that has ended. Raises WorkerLost."""
    if isinstance(side.result, WorkerLost):
        raise side.result
    assert side.result is not None  # noqa: S101 - for the type checker; it has spoken or is lost
    return side.result


def load_client(url: str, texts: Sequence[Utterance]) -> LoadClient:
    """A client of a server with OpenAI's dialect, which accepts audio of any length."""
    target = Target(address=read_address(url), settings=read_settings({"dialect": "openai"}), dialect=OPENAI)
    workload = Workload(scenario_id="load", utterances=tuple(texts), band=_any_length, voice=VOICE)
    return LoadClient(target, workload, clock=SystemClock())


def _any_length(utterance: Utterance) -> Band:
    del utterance
    return Band(low=0.0, high=math.inf)
