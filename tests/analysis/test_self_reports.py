from dataclasses import replace

import pytest

from harness.analysis.self_reports import server_notes, server_stat_mismatches
from harness.core.records.repetition import (
    VALID,
    AudioFeatures,
    Block,
    Canary,
    ChunkMark,
    Outcome,
    OutcomeKind,
    Phase,
    Repetition,
    ServerFigures,
)
from harness.core.records.scenario import Arm, Mode, Scenario
from tests.conftest import Laboratory

SERVER = Scenario(
    arm=Arm(engine="endpoint", provider="", url="http://127.0.0.1:1"), mode=Mode.ENDPOINT, text_class="c", voice="v"
)


def answered(seconds: float, outcome: Outcome = VALID) -> Repetition:
    """One second of audio that came whole, and sounded at once."""
    audio = AudioFeatures(
        sample_rate=24_000, frames=24_000, sha256="", finite=True, peak=0.5, rms_dbfs=-20.0, clipped_share=0.0,
        onset_frame=0,
    )  # fmt: skip
    at_ns = round(seconds * 1e9)
    return Repetition(
        scenario_id=SERVER.id, launch=0, block=0, position=0, phase=Phase.MEASURED, variant=0, characters=10,
        started_at=0.0, end_ns=at_ns, chunks=(ChunkMark(at_ns=at_ns, frames=24_000),), audio=audio, outcome=outcome,
    )  # fmt: skip


OURS = [answered(0.2), answered(0.4), answered(0.9), answered(5.0, Outcome(kind=OutcomeKind.ERROR))]


@pytest.mark.parametrize(
    ("path", "metric", "server", "ours"),
    [
        ("statistics.computed.ttfa.median", "ttfa", 0.5, 0.4),
        ("computed.rtf.median", "rtf", 0.5, 0.4),
        ("performance.avg_latency", "latency", 0.5, 0.5),
        ("performance.ttfa_ms.p50", "ttfa", 0.0005, 0.4),
        ("time_to_first_audio_seconds.mean", "ttfa", 0.5, 0.5),
    ],
)
def test_a_servers_median_or_mean_stands_beside_ours(path: str, metric: str, server: float, ours: float) -> None:
    (found,) = server_stat_mismatches([(path, 0.5)], OURS)
    assert found.metric == metric
    assert found.server == pytest.approx(server)
    assert found.ours == pytest.approx(ours)
    assert found.apart == pytest.approx(abs(server / ours - 1))


@pytest.mark.parametrize(
    "path", ["cached.ttfa.median", "ttfa.p99", "rtf_model.median", "requests", "late_ms.p50", "latency"]
)
def test_what_means_something_else_is_not_compared(path: str) -> None:
    assert server_stat_mismatches([(path, 0.5)], OURS) == []


def test_nothing_of_ours_is_nothing_to_compare_with() -> None:
    assert server_stat_mismatches([("ttfa.median", 0.5)], OURS[3:]) == []


def test_the_run_says_it_once_as_of_the_last_block(lab: Laboratory) -> None:
    data = lab.run().data
    canary = Canary(numpy_ns=None, graph_ns=None)
    blocks = [
        Block(block=number, launch=0, order=(), started_at=0.0, wall_ns=1, canary=canary,
              servers=((SERVER.arm.id, ServerFigures(figures=(("ttfa.median", value),))),))
        for number, value in enumerate((9.0, 0.5))
    ]  # fmt: skip
    run = replace(data.run, scenarios=(SERVER,))
    (note,) = server_notes(replace(data, run=run, blocks=tuple(blocks), repetitions=tuple(OURS)))
    assert note == f"{SERVER.arm.id}: the server's own statistics: ttfa median 500 ms, ours 400 ms, 25.0% apart"
    assert server_notes(data) == ()
