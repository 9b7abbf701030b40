from collections.abc import Sequence
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
from harness.core.records.run import RunData
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


def test_statistics_of_other_answers_are_not_called_apart(lab: Laboratory) -> None:
    def note(count: float) -> str:
        figures = (("computed.ttfa.median", 0.5), ("computed.ttfa.n", count))
        return server_notes(answers_of(lab, SERVER, OURS, [figures]))[0].partition("statistics: ")[2]

    assert note(3.0) == "ttfa median 500 ms, ours 400 ms, 25.0% apart"
    assert note(4.0) == "ttfa median 500 ms of 4 answers, ours 400 ms of 3: not of the same answers"


def test_a_server_that_was_started_anew_reports_of_its_last_start(lab: Laboratory) -> None:
    again = [replace(each, launch=1, end_ns=2 * each.end_ns) for each in OURS]
    figures = (("latency.median", 0.8),)
    started = replace(SERVER, arm=replace(SERVER.arm, url="server:own"))
    for scenario, ours in ((started, "800 ms, 0.0%"), (SERVER, "600 ms, 33.3%")):
        both = [replace(each, scenario_id=scenario.id) for each in (*OURS, *again)]
        (note,) = server_notes(answers_of(lab, scenario, both, [figures, figures]))
        assert note.endswith(f"latency median 800 ms, ours {ours} apart")


def answers_of(
    lab: Laboratory,
    scenario: Scenario,
    repetitions: Sequence[Repetition],
    blocks: Sequence[tuple[tuple[str, float], ...]],
) -> RunData:
    """A run with a block for each reading of the server's statistics, and a launch for each block."""
    data = lab.run().data
    canary = Canary(numpy_ns=None, graph_ns=None)
    made = tuple(
        Block(block=number, launch=number, order=(), started_at=0.0, wall_ns=1, canary=canary,
              servers=((scenario.arm.id, ServerFigures(figures=figures)),))
        for number, figures in enumerate(blocks)
    )  # fmt: skip
    return replace(data, run=replace(data.run, scenarios=(scenario,)), blocks=made, repetitions=tuple(repetitions))


def test_the_run_says_it_once_as_of_the_last_block(lab: Laboratory) -> None:
    data = answers_of(lab, SERVER, OURS, [(("ttfa.median", value),) for value in (9.0, 0.5)])
    (note,) = server_notes(data)
    assert note == f"{SERVER.arm.id}: the server's own statistics: ttfa median 500 ms, ours 400 ms, 25.0% apart"
    assert server_notes(lab.run().data) == ()
