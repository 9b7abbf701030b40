"""The real tools, from the package index: normal forms, and known answers of silence, noise and tones."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness.core.files import write_atomically
from harness.core.subprocesses import command
from harness.measure.speech.analyser import KeptAudio, SpeechAnalyser
from harness.measure.speech.process import HARNESS
from harness.measure.speech.runtime import JudgeRuntime, prepare
from harness.models.default import OFFLINE_VARIABLE

RATE = 24_000
ALIKE = (
    ("$3,450.75 on March 3rd, 2024", "3450 dollars and 75 cents on March third, 2024"),
    ("at 5:45 p.m.", "at five forty-five PM"),
    ("at 5:45 p.m.", "at 5.45 pm"),
    ("Dr. Smith", "Doctor Smith"),
    ("twenty-one cats", "21 cats"),
    ("at 10:00", "at ten o'clock"),
    ("10:00 a.m.", "ten am"),
    ("the U.S.A.", "the USA"),
    ("5 km", "five kilometres"),
    ("good-bye", "goodbye"),
    ("It's the colour grey.", "it is the color gray"),
    ("50 %", "fifty percent"),
    ("No. 5", "number five"),
    ("$5.00", "five dollars"),
    ("at 3.00 pm", "at 3 p.m."),
    ("the 5th of May", "the fifth of may"),
    ("Okay", "OK"),
)
APART = (("half past five", "5:30"), ("½", "one half"), ("two cats", "too cats"))

pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def real() -> JudgeRuntime:
    """The real tools, in the cache of the user who runs the tests."""
    from harness.core.cache_root import default_root

    os.environ.pop(OFFLINE_VARIABLE, None)
    return prepare(default_root(), report=lambda _: None)


def errors(real: JudgeRuntime, folder: Path, pairs: tuple[tuple[str, str], ...]) -> list[int]:
    """Words in error of each pair, as the judging process counts them."""
    write_atomically(folder / "pairs.json", json.dumps(pairs).encode())
    code = (
        "import json, sys; from harness.measure.speech.words import compare, normal\n"
        f"pairs = json.load(open({str(folder / 'pairs.json')!r}))\n"
        "print([compare(normal(text), normal(other))[0].errors for text, other in pairs])"
    )
    line = command(real.python, str(HARNESS), "json", [])
    line[line.index("-c") + 1] = line[line.index("-c") + 1].replace("import_module(module).main()", code)
    found: list[int] = json.loads(subprocess.run(line, capture_output=True, check=True, encoding="utf-8").stdout)
    return found


def test_normal_forms_bring_pairs_together(real: JudgeRuntime, tmp_path: Path) -> None:
    found = dict(zip(ALIKE, errors(real, tmp_path, ALIKE), strict=True))
    assert {pair for pair, wrong in found.items() if wrong} == set()
    assert all(errors(real, tmp_path, APART))


def test_real_tools_give_known_loudness_and_quality_of_test_sounds(real: JudgeRuntime, tmp_path: Path) -> None:
    time_s = np.arange(3 * RATE) / RATE
    sounds = {
        "tone": np.sin(2 * np.pi * 997 * time_s),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(3 * RATE),
        "silence": np.zeros(3 * RATE),
    }
    recordings = []
    for name, samples in sounds.items():
        np.save(tmp_path / f"{name}.npy", samples.astype(np.float32))
        recordings.append(
            KeptAudio(
                scenario_id=name,
                launch=0,
                path=str(tmp_path / f"{name}.npy"),
                sample_rate=RATE,
                text="Hello world.",
                language="en-us",
            )
        )
    analyser = SpeechAnalyser(root=tmp_path, report=lambda _: None, runtime=real)
    tone, noise, silence = analyser.analyse(recordings)
    # BS.1770: a full-scale sine of 997 Hz in one channel measures −3.01 LUFS.
    assert tone.readings["loudness"].value == pytest.approx(-3.01, abs=0.1)
    # By speechmos's own code: 1.12, 1.18, 2.11.
    assert noise.readings["dnsmos_overall"].value == pytest.approx(1.12, abs=0.05)
    assert noise.readings["dnsmos_signal"].value == pytest.approx(1.18, abs=0.05)
    assert noise.readings["dnsmos_p808"].value == pytest.approx(2.11, abs=0.05)
    assert silence.readings["wer"].value == 1.0
    assert silence.readings["loudness"].reason == "every block is below −70 LUFS"
