"""Voices as a user has them: files of an unusual shape, blends, languages; the real command and the real engine."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.models.files import ModelFiles
from tests.conftest import Command

ONE = ("--model", "replica-small", "--launches", "1", "--warmups", "1", "--blocks", "1")


@pytest.fixture
def unusual(small_replica: ModelFiles, tmp_path: Path) -> Path:
    """The replica's voices, one of them with a row more and in double precision, one without its middle axis."""
    with np.load(small_replica.voices_path) as voices:
        arrays = {name: voices[name] for name in voices.files}
    arrays["af_heart"] = np.concatenate([arrays["af_heart"], arrays["af_heart"][-1:]]).astype(np.float64)
    arrays["bf_flat"] = arrays["af_bella"][:, 0, :]
    path = tmp_path / "unusual.npz"
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def test_what_kokoro_onnx_speaks_with_is_measured_with_a_note(kokoro_bench: Command, unusual: Path) -> None:
    for engine in ("kokoro", "kokoro-sentences"):
        options = (
            *ONE,
            "--engine",
            engine,
            "--voices",
            str(unusual),
            "--voice",
            "af_heart+af_bella",
            "--say",
            "Hello.",
        )
        found = kokoro_bench("validate", *options, "--targets", "ttfa=60,rtf=60")
        assert found.returncode == 0, found.stdout + found.stderr
        note = "unusual.npz: voice af_heart is float64 [511, 1, 256], and kokoro-onnx casts it to the model's type"
        assert note in " ".join(found.stdout.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--voice", "bf_flat"), "voice bf_flat is float32 [510, 256]: without the middle axis"),
        (("--voice", "af_heart+nobody"), "no voice 'nobody'"),
        (("--language", "english"), "must be a tag such as en-gb"),
    ],
    ids=["no-middle-axis", "a-blend-of-nobody", "no-language"],
)
def test_what_cannot_work_is_refused_with_the_reason(
    kokoro_bench: Command, unusual: Path, options: Sequence[str], said: str
) -> None:
    found = kokoro_bench("validate", *ONE, "--voices", str(unusual), *options)
    assert found.returncode == 2, found.stdout + found.stderr
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_language_that_espeak_does_not_know_is_refused_before_anything_is_measured(kokoro_bench: Command) -> None:
    found = kokoro_bench("validate", *ONE, "--language", "xx", "--say", "Hello.")
    assert found.returncode == 3, found.stdout + found.stderr
    assert "the language 'xx' cannot be spoken" in " ".join(found.stdout.split())


@pytest.fixture
def others(small_replica: ModelFiles, tmp_path: Path) -> Path:
    """A voices file without the default voice."""
    with np.load(small_replica.voices_path) as voices:
        arrays = dict.fromkeys(("jm_kumo", "jf_alpha"), voices["af_heart"])
    path = tmp_path / "others.npz"
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def test_first_voice_stands_in_for_a_missing_default_and_a_suite_skips_the_other_missing_ones(
    kokoro_bench: Command, others: Path
) -> None:
    suite = ("--nightly", "-k", "test_voices", "--text", "chars-12", "--budget", "20s")
    json_path = others.with_name("run.json")
    found = kokoro_bench(
        "run", *ONE, *suite, "--voices", str(others), "--json", str(json_path), "--pytest-output", "--", "-rs"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    output = " ".join(found.stdout.split())
    assert "voice: jf_alpha, because a voices file has no usable af_heart" in output
    assert "not measured, because the voices file lacks them: am_michael, bf_emma" in output
    assert "no voice 'bf_emma' in the voices file; known: jf_alpha, jm_kumo" in output
    measured = {each["extra_info"]["scenario"] for each in json.loads(json_path.read_bytes())["benchmarks"]}
    assert measured == {f"replica-small.cpu.tdefault/whole/chars-12/{voice}" for voice in ("jf_alpha", "jm_kumo")}


def test_missing_voice_that_the_user_named_is_refused_with_the_nearest(kokoro_bench: Command, others: Path) -> None:
    found = kokoro_bench("validate", *ONE, "--voices", str(others), "--voice", "jf_alfa")
    assert found.returncode == 2, found.stdout + found.stderr
    assert "no voice 'jf_alfa' — did you mean 'jf_alpha'?" in found.stderr
