"""The judging of kept audio with stand-in tools: figures, reasons, memory, and processes that crash or hang."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.core.records.speech import EditCounts, SpeechReading
from harness.measure.speech.analyser import ENDED, ENGLISH_ONLY, NOT_FINITE, PHONEMES, KeptAudio, SpeechAnalyser
from harness.measure.speech.runtime import JudgeRuntime
from harness.metrics.definitions.speech import SPEECH
from tests.processes import await_ended
from tests.speech_tools import asked, say

RATE = 24_000


def audio(*, silence_s: float = 0.1, speech_s: float = 1.0, after_s: float = 0.25) -> np.ndarray:
    """A tone between two silences."""
    tone = 0.3 * np.sin(np.arange(round(speech_s * RATE)) * 0.1)
    parts = (np.zeros(round(silence_s * RATE)), tone, np.zeros(round(after_s * RATE)))
    return np.concatenate(parts).astype(np.float32)


def kept(
    folder: Path, samples: np.ndarray, *, name: str = "a", text: str = "Hello world.", **about: object
) -> KeptAudio:
    path = folder / f"{name}.npy"
    np.save(path, samples.astype(np.float32))
    described = {"launch": 0, "language": "en-us", **about}
    return KeptAudio(scenario_id=name, path=str(path), sample_rate=RATE, text=text, **described)  # type: ignore[arg-type]


def analyser(tools: Path, root: Path, **limits: float) -> SpeechAnalyser:
    return SpeechAnalyser(
        root=root, report=lambda _: None, runtime=JudgeRuntime(python=str(tools), judge="stand-ins 1"), **limits
    )


def values(reading: SpeechReading) -> dict[str, float | None]:
    return {name: each.value for name, each in reading.readings.items()}


def test_every_metric_of_an_audio_has_its_value(tools: Path, tmp_path: Path) -> None:
    say(tools, "Hello word")
    (reading,) = analyser(tools, tmp_path).analyse([kept(tmp_path, audio())])
    assert reading.transcript == "Hello word"
    assert reading.words == EditCounts(reference=2, deleted=1, inserted=1)
    found = values(reading)
    assert set(found) == {each.name for each in SPEECH}
    assert found["wer"] == 1.0
    assert found["loudness"] == -20.0
    assert found["dnsmos_p808"] == 3.5
    assert found["dnsmos_overall"] == pytest.approx(-0.06766283 * 9 + 1.11546468 * 3 + 0.04602535)
    assert found["leading_silence"] == pytest.approx(0.1, abs=0.002)
    assert found["trailing_silence"] == pytest.approx(0.25, abs=0.002)
    assert reading.judge == "stand-ins 1"


def test_equal_audio_with_the_same_text_is_judged_once(tools: Path, tmp_path: Path) -> None:
    say(tools, "Hello world.")
    recordings = [kept(tmp_path, audio(), name=name) for name in ("a", "b")]
    first = analyser(tools, tmp_path).analyse(recordings)
    assert asked(tools) == 1
    again = analyser(Path("no such interpreter"), tmp_path).analyse(recordings)
    assert again == first
    assert asked(tools) == 1
    analyser(tools, tmp_path).analyse([kept(tmp_path, audio(), text="Another text.")])
    assert asked(tools) == 3  # in a short window, and in the whole one because that was not the text


@pytest.mark.parametrize(
    ("heard", "speech_s", "transcript", "times"),
    [
        ("Hello world.|something else", 1.0, "Hello world.", 1),
        ("Hello world. Hello world.|Hello word.", 1.0, "Hello word.", 2),
        ("something else|Hello world.", 1.0, "Hello world.", 2),
        ("Hello world.|Hello word.", 4.0, "Hello word.", 1),  # it is long enough for the whole window
    ],
)
def test_short_window_of_a_short_audio_counts_only_without_an_error(
    tools: Path, tmp_path: Path, heard: str, speech_s: float, transcript: str, times: int
) -> None:
    say(tools, heard)
    (reading,) = analyser(tools, tmp_path).analyse([kept(tmp_path, audio(speech_s=speech_s))])
    assert reading.transcript == transcript
    assert asked(tools) == times


@pytest.mark.parametrize(
    ("about", "reason"),
    [({"language": "fr-fr"}, ENGLISH_ONLY), ({"is_phonemes": True}, PHONEMES), ({"language": ""}, ENGLISH_ONLY)],
)
def test_words_that_cannot_be_counted_have_a_reason(
    tools: Path, tmp_path: Path, about: dict[str, object], reason: str
) -> None:
    say(tools, "Hello world.")
    (reading,) = analyser(tools, tmp_path).analyse([kept(tmp_path, audio(), **about)])
    assert reading.readings["wer"].reason == reading.readings["cer"].reason == reason
    assert reading.readings["dnsmos_overall"].known
    assert asked(tools) == 0


def test_strange_audio_has_reasons(tools: Path, tmp_path: Path) -> None:
    say(tools, "Hello world.")
    strange = {
        "one": np.ones(1),
        "none": np.ones(0),
        "nan": np.full(RATE, np.nan),
        "silent": np.zeros(RATE),
        "long": np.zeros(RATE * 61),
    }
    recordings = [kept(tmp_path, samples, name=name) for name, samples in strange.items()]
    found = {each.scenario_id: each.readings for each in analyser(tools, tmp_path).analyse(recordings)}
    assert found["one"]["wer"].value == 1.0  # nothing is heard
    assert found["one"]["loudness"].reason == "shorter than 0.4 s"
    assert found["one"]["dnsmos_signal"].reason == "shorter than 0.1 s"
    assert {each.reason for each in found["none"].values()} == {"there is no audio"}
    assert {each.reason for each in found["nan"].values()} == {NOT_FINITE}
    assert found["silent"]["leading_silence"].reason == "nothing is louder than -40 dBFS for 50 ms"
    assert found["long"]["wer"].reason == "longer than 60 s: only shorter audio is judged"


def test_a_text_without_words_has_a_reason(tools: Path, tmp_path: Path) -> None:
    (reading,) = analyser(tools, tmp_path).analyse([kept(tmp_path, audio(), text="… !")])
    assert reading.readings["cer"].reason == "the text has no words once it is normalised"


def test_audio_that_was_not_written_gives_no_reading(tools: Path, tmp_path: Path) -> None:
    recording = kept(tmp_path, audio())
    Path(recording.path).write_bytes(b"half")
    assert analyser(tools, tmp_path).analyse([recording]) == ()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("crash", "the judging process ended: killed by SIGSEGV"),
        ("hang", "the judging process did not answer within 0.5 s"),
        ("raise", "RuntimeError: no such thing"),
    ],
)
def test_a_process_that_fails_costs_its_audio_and_no_more(tools: Path, tmp_path: Path, fault: str, reason: str) -> None:
    say(tools, fault)
    recordings = [
        kept(tmp_path, audio(), name="bad"),
        kept(tmp_path, audio(speech_s=0.8), name="good", language="es"),
    ]
    bad, good = analyser(tools, tmp_path, order_timeout_s=0.5 if fault == "hang" else 60.0).analyse(recordings)
    assert bad.readings["wer"].reason == bad.readings["loudness"].reason == reason
    assert bad.readings["leading_silence"].known
    if fault != "hang":  # half a second may be too short for a new process too
        assert good.readings["dnsmos_p808"].value == 3.5


def test_after_three_losses_no_process_is_started(tools: Path, tmp_path: Path) -> None:
    say(tools, "crash")
    recordings = [kept(tmp_path, audio(speech_s=1 + number / 10), name=str(number)) for number in range(5)]
    found = analyser(tools, tmp_path).analyse(recordings)
    assert {each.readings["wer"].reason for each in found} == {"the judging process ended: killed by SIGSEGV"}
    assert asked(tools) == 3


def test_tools_that_cannot_be_imported_are_a_reason(tmp_path: Path) -> None:
    recordings = [kept(tmp_path, audio(speech_s=1 + number), name=str(number)) for number in range(2)]
    found = analyser(Path(tmp_path / "nothing"), tmp_path).analyse(recordings)
    assert all("cannot be started" in each.readings["wer"].reason for each in found)
    if os.name == "posix":
        (tmp_path / "python").write_text(f"#!/bin/sh\nexec '{sys.executable}' -c \"import no_such_tool\"\n")
        (tmp_path / "python").chmod(0o755)
        (first, _) = analyser(tmp_path / "python", tmp_path).analyse(recordings)
        reason = "the judging process ended: ModuleNotFoundError: No module named 'no_such_tool'"
        assert first.readings["wer"].reason == reason


def test_a_run_that_was_ended_judges_no_further_audio(tools: Path, tmp_path: Path) -> None:
    say(tools, "Hello world.")
    recordings = [kept(tmp_path, audio(speech_s=1 + number), name=str(number)) for number in range(2)]
    listening = analyser(tools, tmp_path)
    listening.stop = lambda: asked(tools) == 1
    first, second = listening.analyse(recordings)
    assert first.readings["wer"].known
    assert second.readings["wer"].reason == ENDED


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_the_judging_process_ends_with_the_one_that_asked(tools: Path, tmp_path: Path) -> None:
    say(tools, "hang")
    recording = kept(tmp_path, audio())
    code = (
        "from harness.measure.speech.process import JudgeProcess\n"
        "from harness.measure.speech.protocol import JudgeOrder, write_line\n"
        f"process = JudgeProcess({str(tools)!r}, words=True)\n"
        f"order = JudgeOrder(audio_path={recording.path!r}, sample_rate={RATE}, text='a', words=True)\n"
        "process._process.stdin.write(write_line(order)); process._process.stdin.flush()\n"
        "print(process._process.pid, flush=True); input()"
    )
    root = Path(__file__).parents[3]
    asking = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root)
    assert asking.stdout is not None
    judging = psutil.Process(int(asking.stdout.readline()))
    asking.kill()
    asking.communicate()
    await_ended([judging])


def test_without_tools_the_silences_are_measured_and_the_rest_has_the_reason(tmp_path: Path) -> None:
    found = SpeechAnalyser(root=tmp_path, report=lambda _: None, runtime=None, reason="no index")
    (reading,) = found.analyse([kept(tmp_path, audio())])
    assert reading.readings["leading_silence"].known
    assert reading.readings["wer"].reason == "no index"
