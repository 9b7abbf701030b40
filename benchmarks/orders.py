"""What the benchmarks order: an engine with a model, one measured synthesis of a text, and loads on a server."""

import math
from collections.abc import Sequence

from harness.core.clock import SystemClock
from harness.core.records.repetition import Phase
from harness.core.records.scenario import Band, Utterance
from harness.engines.http.dialects import OPENAI
from harness.engines.http.target import Target, read_address, read_settings
from harness.engines.protocol import EngineOrder
from harness.measure.load.client import LoadClient
from harness.measure.load.records import Workload
from harness.measure.worker.protocol import SynthesisOrder

VOICE = "af_heart"


def engine_of(model: str, *, engine: str = "kokoro", threads: int = 0) -> EngineOrder:
    """An engine with a model of the catalogue."""
    from harness.models.catalogue import Catalogue

    files = Catalogue().resolve(model, report=print)
    return EngineOrder(
        engine=engine,
        model_path=str(files.model_path),
        voices_path=str(files.voices_path),
        voice=VOICE,
        threads=threads,
    )


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


def load_client(url: str, texts: Sequence[Utterance]) -> LoadClient:
    """A client of a server with OpenAI's dialect, which accepts audio of any length."""
    target = Target(address=read_address(url), settings=read_settings({"dialect": "openai"}), dialect=OPENAI)
    workload = Workload(scenario_id="load", utterances=tuple(texts), band=_any_length, voice=VOICE)
    return LoadClient(target, workload, clock=SystemClock())


def _any_length(utterance: Utterance) -> Band:
    del utterance
    return Band(low=0.0, high=math.inf)
