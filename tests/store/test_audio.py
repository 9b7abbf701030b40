from pathlib import Path

import numpy as np
import pytest
import soundfile

from harness.core.records.speech import EditCounts, SpeechKind, SpeechReading, SpeechSheet, SpeechVerdict
from harness.core.records.value import known, unknown
from harness.store.audio import audio_path, delete_audio, prune_audio, read_speech, write_audio, write_speech

SCENARIO = "replica.cpu.t2/whole/chars-60/af_heart"


def test_the_path_is_readable_and_different_for_every_scenario_and_launch(tmp_path: Path) -> None:
    path = audio_path(tmp_path, "20260101-000000-abcdef", scenario_id=SCENARIO, launch=0)
    assert path == tmp_path / "20260101-000000-abcdef/replica.cpu.t2--whole--chars-60--af_heart-4c0b998a.launch-1.flac"
    others = {
        audio_path(tmp_path, "r", scenario_id=scenario, launch=launch)
        for scenario in (SCENARIO, SCENARIO.upper(), "x" * 500, "x" * 501)
        for launch in (0, 1)
    }
    assert len({str(other).lower() for other in others}) == 8
    assert max(len(other.name) for other in others) < 160


def test_audio_comes_back_within_sixteen_bits_and_clipped_at_full_scale(tmp_path: Path) -> None:
    audio = np.array([0.0, 0.5, -0.25, 1.5, -2.0], dtype=np.float32)
    path = tmp_path / "run" / "a.flac"
    write_audio(path, audio, 24_000)
    read, rate = soundfile.read(path)
    assert rate == 24_000
    assert soundfile.info(path).subtype == "PCM_16"
    np.testing.assert_allclose(read, [0.0, 0.5, -0.25, 1.0, -1.0], atol=1 / 32_000)


def test_what_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OSError, match="run"):
        write_audio(tmp_path / "run" / "a.flac", np.zeros(10, dtype=np.float32), 24_000)


def test_only_the_newest_runs_keep_their_audio(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"2026010{number}-000000-abcdef").mkdir()
    prune_audio(tmp_path, keep=2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["20260103-000000-abcdef", "20260104-000000-abcdef"]
    delete_audio(tmp_path, "20260104-000000-abcdef")
    delete_audio(tmp_path, "never there")
    delete_audio(tmp_path, "")
    assert [each.name for each in tmp_path.iterdir()] == ["20260103-000000-abcdef"]
    prune_audio(tmp_path / "nowhere")


SHEET = SpeechSheet(
    readings=(
        SpeechReading(
            scenario_id=SCENARIO,
            launch=1,
            text="Twenty-one naïve cafés.",
            language="en-us",
            audio_sha256="0" * 64,
            seconds=1.5,
            readings={"wer": known(0.25), "loudness": unknown("shorter than 0.4 s")},
            transcript="21 naive cafes",
            words=EditCounts(reference=4, substituted=1),
            judge="tools 1",
        ),
        SpeechReading(scenario_id=SCENARIO, launch=0, text="", language="", audio_sha256="", seconds=0.0, readings={}),
    ),
    verdicts=(
        SpeechVerdict(scenario_id=SCENARIO, reference="r", kind=SpeechKind.EQUIVALENT, counts={"equivalent": 2}),
    ),
)


def test_what_the_audio_was_judged_to_be_is_kept_beside_it_and_pruned_with_it(tmp_path: Path) -> None:
    write_speech(tmp_path, "20260101-000000-old", SHEET)
    write_speech(tmp_path, "20260102-000000-new", SHEET)
    assert read_speech(tmp_path, "20260101-000000-old") == SHEET
    assert (tmp_path / "20260101-000000-old" / "speech.json").is_file()
    prune_audio(tmp_path, keep=1)
    assert read_speech(tmp_path, "20260101-000000-old") is None
    assert read_speech(tmp_path, "20260102-000000-new") == SHEET


def test_a_sheet_that_is_missing_damaged_or_of_another_form_is_none(tmp_path: Path) -> None:
    assert read_speech(tmp_path, "") is None
    assert read_speech(tmp_path, "run") is None
    (tmp_path / "run").mkdir()
    for content in (b"", b"{", b'{"readings": 3}', b"\xff"):
        (tmp_path / "run" / "speech.json").write_bytes(content)
        assert read_speech(tmp_path, "run") is None
