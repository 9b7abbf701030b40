from collections.abc import Sequence

import pytest

from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import (
    AudioFeatures,
    ChunkMark,
    Disturbance,
    Launch,
    LoadPart,
    Memory,
    Outcome,
    Phase,
    Repetition,
    StageMark,
)
from harness.core.records.run import RunData, RunRecord, Setting
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario

RATE = 1000
"""Frames are milliseconds: the figures of the tests can be read off."""


def make_features(frames: int = 1000, *, onset_frame: int | None = 0, **changes: object) -> AudioFeatures:
    fields: dict[str, object] = {
        "sample_rate": RATE,
        "frames": frames,
        "sha256": "0" * 64,
        "finite": True,
        "peak": 0.5,
        "rms_dbfs": -20.0,
        "clipped_share": 0.0,
        "onset_frame": onset_frame,
    }
    return AudioFeatures(**(fields | changes))  # type: ignore[arg-type]


def make_marks(*pairs: tuple[int, int]) -> tuple[ChunkMark, ...]:
    """Chunks from (arrival in ms, frames)."""
    return tuple(ChunkMark(at_ns=at_ms * 1_000_000, frames=frames) for at_ms, frames in pairs)


def make_repetition(
    *,
    chunks: Sequence[tuple[int, int]] = ((500, 1000),),
    stages: Sequence[tuple[str, int, int]] = (),
    end_ms: int | None = None,
    onset_frame: int | None = 0,
    cpu_ms: int | None = None,
    rss_after: int | None = None,
    peak: int | None = None,
    marks: tuple[str, ...] = (),
    **changes: object,
) -> Repetition:
    """A valid measured repetition; times in ms, frames of 1 ms."""
    fields: dict[str, object] = {
        "scenario_id": make_scenario().id,
        "launch": 0,
        "block": 0,
        "position": 0,
        "phase": Phase.MEASURED,
        "variant": 0,
        "characters": 12,
        "started_at": 100.0,
        "end_ns": (end_ms if end_ms is not None else chunks[-1][0] if chunks else 0) * 1_000_000,
        "chunks": make_marks(*chunks),
        "stages": tuple(
            StageMark(stage=stage, start_ns=start * 1_000_000, end_ns=end * 1_000_000) for stage, start, end in stages
        ),
        "cpu_ns": cpu_ms * 1_000_000 if cpu_ms is not None else None,
        "memory": Memory(rss_after=rss_after, peak=peak, peak_reason="" if peak else "no mark here"),
        "disturbance": Disturbance(marks=marks),
        "audio": make_features(sum(frames for _, frames in chunks), onset_frame=onset_frame),
        "outcome": Outcome(),
    }
    return Repetition(**(fields | changes))  # type: ignore[arg-type]


def make_scenario(mode: Mode = Mode.WHOLE, **changes: object) -> Scenario:
    model = ModelVariant(name="made", sha256="1" * 64, size=325_479_362, origin="replica")
    fields: dict[str, object] = {
        "arm": Arm(engine="kokoro", model=model),
        "mode": mode,
        "text_class": "chars-12",
        "voice": "af_heart",
    }
    return Scenario(**(fields | changes))  # type: ignore[arg-type]


def make_launch(
    number: int = 0, *, page_cache: str = "warm", parts: dict[str, int] | None = None, **changes: object
) -> Launch:
    """A valid launch; parts in ms."""
    times = (
        parts
        if parts is not None
        else {"interpreter": 50, "import": 400, "session": 800, "voices": 20, "phonemiser": 30, "first_inference": 250}
    )
    fields: dict[str, object] = {
        "arm_id": make_scenario().arm.id,
        "launch": number,
        "started_at": 100.0,
        "page_cache": page_cache,
        "parts": tuple(LoadPart(name=name, ns=ms * 1_000_000) for name, ms in times.items()),
        "rss_loaded": 420_000_000,
    }
    return Launch(**(fields | changes))  # type: ignore[arg-type]


def make_data(*repetitions: Repetition, launches: Sequence[Launch] = (), scenarios: Sequence[Scenario] = ()) -> RunData:
    machine = Machine(
        key="made", system="Linux", architecture="x86_64", cpu="made", logical_cpus=2, physical_cpus=2, memory=2**33
    )
    run = RunRecord(
        id="made",
        started_at=0.0,
        seed=0,
        selection="quick",
        machine=machine,
        conditions=Conditions(taken_at=0.0),
        subject=Subject(),
        setting=Setting(corpus="made", protocol=1),
        scenarios=tuple(scenarios) or (make_scenario(),),
        budget_s=60.0,
    )
    return RunData(run=run, launches=tuple(launches), repetitions=repetitions)


class Made:
    """The builders, as one fixture: test modules cannot import one another."""

    features = staticmethod(make_features)
    marks = staticmethod(make_marks)
    repetition = staticmethod(make_repetition)
    scenario = staticmethod(make_scenario)
    launch = staticmethod(make_launch)
    data = staticmethod(make_data)


@pytest.fixture(scope="session")
def made() -> type[Made]:
    return Made
