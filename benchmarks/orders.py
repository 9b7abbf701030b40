"""The order that the benchmarks give to workers: one measured synthesis of a text."""

from harness.core.records.repetition import Phase
from harness.measure.worker.protocol import SynthesisOrder


def synthesis_of(text: str, *, stream: bool = False) -> SynthesisOrder:
    """One synthesis of `text` in the voice af_heart."""
    return SynthesisOrder(
        scenario_id="scenario",
        launch=0,
        block=0,
        position=0,
        phase=Phase.MEASURED,
        variant=0,
        text=text,
        voice="af_heart",
        stream=stream,
    )
