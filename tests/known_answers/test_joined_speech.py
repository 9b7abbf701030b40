"""The verdict on joined speech through the commands: arms that split their texts differently, with planted faults.

The engine is real, with the small replica as a user's file. What it speaks is noise, so a voice of harmonics is planted
where its audio arrives, with or without a fault, and the readings of a scripted judge.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from harness.analysis.audio_comparison import Recording, compare_all
from harness.analysis.conclude import Conclusions
from harness.analysis.speech_quality import with_speech
from harness.core.records.run import RunData
from harness.core.records.speech import EditCounts, SpeechReading
from harness.core.records.value import known
from harness.models.files import ModelFiles
from harness.runner.duel_causes import Profiler
from harness.runner.side_tasks import Explain, SideTasks
from tests.conftest import Command
from tests.voiced_sound import RATE, voiced

pytestmark = pytest.mark.usefixtures("no_pages")

SHORT, WHOLE = "first=24", "first=180"
SUITE = f"""
from harness.core.records.scenario import Mode
from harness.runner.pytest_marker import scenarios

@scenarios(Mode.WHOLE, quick=("chars-60",), recipes=(), changes=("current", "engine=kokoro-sentences,{SHORT}"))
def test_whole(measured):
    measured.check()
"""
Audio = NDArray[np.float32]
Fault = Callable[[Audio], Audio]


def nothing(audio: Audio) -> Audio:
    return audio


def dropped(audio: Audio) -> Audio:
    """Without its first two seconds, which a first segment of 24 to 32 phonemes takes."""
    return audio[2 * RATE :]


def other_voice(audio: Audio) -> Audio:
    """With another timbre for the two seconds of a segment."""
    changed = lfilter([1.0, -0.99], [1.0, 0.5], audio).astype(np.float32) * 4
    return np.concatenate([audio[: 2 * RATE], changed[2 * RATE : 4 * RATE], audio[4 * RATE :]])


def lower(_audio: Audio) -> Audio:
    return voiced(6.2, hz=104.0).astype(np.float32)


def paused(audio: Audio) -> Audio:
    return np.insert(audio, 4 * RATE, np.zeros(RATE, dtype=np.float32))


def hurried(audio: Audio) -> Audio:
    """With a faster beginning."""
    return np.concatenate([voiced(1.0, pace=1.5).astype(np.float32), audio[round(1.5 * RATE) :]])


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plant a fault in the audio of the arm with short segments, and words in error in what the judge finds of it."""

    def planting(fault: Fault = nothing, *, errors: int = 0) -> None:
        def reading(scenario_id: str, launch: int) -> SpeechReading:
            words = EditCounts(reference=10, deleted=errors if SHORT in scenario_id else 0)
            return SpeechReading(
                scenario_id=scenario_id, launch=launch, text="text", language="en-us", audio_sha256="", seconds=1.0,
                readings={"wer": known(words.errors / 10), "dnsmos_overall": known(3.5)}, words=words, judge="scripted",
            )  # fmt: skip

        whole = voiced(6.0).astype(np.float32)
        joined = np.concatenate([whole[: 2 * RATE], np.zeros(RATE // 5, dtype=np.float32), 1.1 * whole[2 * RATE :]])
        complete = SideTasks.complete

        def arrived(self: Recording, scenario_id: str, launch: int) -> Audio | None:
            if not self.keeps(scenario_id, launch):
                return None
            return fault(joined) if SHORT in scenario_id else whole

        def completed(self: SideTasks, conclusions: Conclusions, data: RunData, explain: Explain) -> Conclusions:
            def explained(found: Conclusions, data: RunData, profile: Profiler) -> Conclusions:
                readings = tuple(reading(each.id, launch) for each in data.run.scenarios for launch in (0, 1))
                judged, _ = with_speech(found, readings, compare_all(data, self._recording), data)
                return explain(judged, data, profile)

            return complete(self, conclusions, data, explained)

        monkeypatch.setattr(Recording, "audio", arrived)
        monkeypatch.setattr(SideTasks, "complete", completed)

    return planting


@pytest.fixture
def arguments(small_replica: ModelFiles, tmp_path: Path) -> tuple[str, ...]:
    model = tmp_path / "mine.onnx"
    graph = onnx.load(small_replica.model_path)
    graph.doc_string = "a file of the user, not the known replica"
    onnx.save(graph, model)
    return (
        "--model", str(model), "--voices", str(small_replica.voices_path),
        "--text", "chars-60", "--launches", "1", "--blocks", "1", "--threads", "1",
    )  # fmt: skip


def speech(here: Command) -> list[tuple[str, str, str, str]]:
    """(Scenario, reference, kind, reason) of each verdict on speech of the latest run."""
    exported = here("runs", "export", "latest", "--format", "jsonl").stdout
    verdicts = [line["record"] for line in map(json.loads, exported.splitlines()) if line["kind"] == "verdict"]
    return [
        (each["scenario_id"], each["reference"], each["kind"], each["reason"])
        for each in verdicts
        if each["metric"] == "speech"
    ]


@pytest.mark.parametrize(
    ("fault", "errors", "kind", "says", "mode"),
    [
        (nothing, 0, "unchanged", "joined from other segments", ()),
        (other_voice, 0, "failed", "for 0.7 s its mean spectrum is", ()),
        (lower, 0, "different", "its median pitch is −2.1 semitones from the original's", ()),
        (paused, 0, "different", "its longest pause is +0.99 s from the original's", ()),
        (hurried, 0, "different", "of the original's rate", ()),
        (nothing, 0, "unchanged", "joined from other segments", ("--streamed",)),
        (dropped, 4, "failed", "4 of 10 words are not recognised, 0 of the original's", ("--streamed",)),
    ],
)
def test_a_duel_of_two_splits_finds_what_is_wrong_with_the_joined_speech(
    here: Command,
    plant: Callable[..., None],
    arguments: tuple[str, ...],
    fault: Fault,
    errors: int,
    kind: str,
    says: str,
    mode: tuple[str, ...],
) -> None:
    plant(fault, errors=errors)
    ran = here("duel", SHORT, WHOLE, "--engine", "kokoro-sentences", *arguments, *mode)
    assert ran.returncode == (3 if kind == "failed" else 0), ran.stdout + ran.stderr
    ((scenario, reference, found, reason),) = speech(here)
    assert SHORT in scenario
    assert WHOLE in reference
    assert found == kind
    assert says in reason
    shown = "is equivalent to its original's" if kind == "unchanged" else reason
    assert shown in " ".join(ran.stdout.split())


def test_a_run_compares_the_engine_that_splits_with_the_one_that_does_not(
    here: Command, plant: Callable[..., None], arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_own.py").write_text(SUITE)
    (tmp_path / "pyproject.toml").write_text("[tool.kokoro-bench]\n")
    plant(other_voice)
    ran = here("run", *arguments)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    ((scenario, reference, kind, reason),) = speech(here)
    assert scenario == f"mine.kokoro-sentences.cpu.t1.{SHORT}/whole/chars-60/af_heart"
    assert reference == "mine.cpu.t1/whole/chars-60/af_heart"
    assert kind == "failed"
    assert "for 0.7 s its mean spectrum is" in reason
