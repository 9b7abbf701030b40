"""What the tests of real workers ask of them: the scripted engine's work, and its faults."""

from harness.core.records.repetition import Phase
from harness.engines.protocol import EngineOrder
from harness.measure.worker.protocol import LoadOrder, SynthesisOrder

PATIENCE_S = 240.0
SHORT, LONG = 12, 40
"""Characters of a text that a planted fault spares (as it does the first inference's), and of one that it strikes."""


def load_order(*, slowdown: float = 0.0, **script: str) -> LoadOrder:
    script = {"pace": "0.001", "quick_start": "1", "noise": "0", "fault_text": str(LONG), **script}
    return LoadOrder(
        arm_id="scripted.cpu.t1", launch=0, engine=EngineOrder(engine="scripted", script=script), slowdown=slowdown
    )


def speak_order(characters: int = SHORT) -> SynthesisOrder:
    return SynthesisOrder(
        scenario_id="scripted.cpu.t1/whole/own/none",
        launch=0,
        block=0,
        position=0,
        phase=Phase.MEASURED,
        variant=0,
        text="a" * characters,
        voice="none",
    )
