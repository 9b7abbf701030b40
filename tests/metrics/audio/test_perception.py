import sys
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from harness.core.records.value import Reading
from harness.metrics.audio import perception
from harness.metrics.audio.alignment import Alignment, align
from harness.metrics.audio.perception import pesq, stoi, warp

RATE = 24_000
HOP = 240


def noise(seconds: float = 1.0) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))


def straight(frames: int) -> Alignment:
    steps = np.arange(frames)
    return Alignment(rows=steps, columns=steps, cost=0.0)


@pytest.mark.parametrize("name", ["pesq", "pystoi"])
def test_an_absent_package_is_said_to_be_absent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    measure = {"pesq": pesq, "pystoi": stoi}[name]
    reading = measure(noise(), noise(), RATE)
    assert (reading.value, reading.reason) == (None, "not installed: pip install 'kokoro-bench[similarity]'")


class FakePesqError(Exception):
    pass


def fake_pesq(monkeypatch: pytest.MonkeyPatch, answer: float | Exception) -> list[tuple[int, int, int, str]]:
    calls = []

    def score(rate: int, reference: np.ndarray, degraded: np.ndarray, mode: str) -> float:
        calls.append((rate, len(reference), len(degraded), mode))
        if isinstance(answer, Exception):
            raise answer
        return answer

    module = ModuleType("pesq")
    module.pesq, module.PesqError = score, FakePesqError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pesq", module)
    return calls


def test_pesq_is_wide_band_at_16_khz(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_pesq(monkeypatch, 3.5)
    assert pesq(noise(), noise(), RATE).value == 3.5
    assert calls == [(16_000, 16_000, 16_000, "wb")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (FakePesqError(b"No utterances detected"), "PESQ: No utterances detected"),
        (FakePesqError(), "PESQ: FakePesqError"),
        (float("nan"), "PESQ gave no number"),
    ],
)
def test_pesq_without_a_figure_has_a_reason(
    monkeypatch: pytest.MonkeyPatch, answer: float | Exception, reason: str
) -> None:
    fake_pesq(monkeypatch, answer)
    reading = pesq(noise(), noise(), RATE)
    assert (reading.value, reading.reason) == (None, reason)


def test_pesq_is_not_asked_about_long_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_pesq(monkeypatch, 3.5)
    reading = pesq(noise(30.5), noise(30.5), RATE)
    assert reading.reason == "PESQ takes at most 30 s of speech, and this is 30.5 s"
    assert calls == []


def test_stoi_of_too_little_speech_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pystoi")

    def score(*_: object, **__: object) -> float:
        warnings.warn("Not enough STFT frames to compute. Please check", RuntimeWarning, stacklevel=1)
        return 1e-5

    module.stoi = score  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pystoi", module)
    assert stoi(noise(), noise(), RATE).reason == "STOI: Not enough STFT frames to compute"


def test_the_real_stoi_knows_identity_and_noise() -> None:
    pytest.importorskip("pystoi")
    speech = noise(2) * np.repeat(np.random.default_rng(1).uniform(0.1, 1, 40), RATE // 20)
    assert stoi(speech, speech, RATE).value == pytest.approx(1.0, abs=1e-6)
    disturbed = stoi(speech + 0.3 * noise(3)[RATE:], speech, RATE).value
    assert disturbed is not None
    assert disturbed < 0.9
    assert stoi(speech[:2000], speech[:2000], RATE).reason.startswith("STOI: ")


def test_the_real_pesq_knows_identity_and_noise() -> None:
    pytest.importorskip("pesq")
    speech = noise(4) * np.repeat(np.random.default_rng(1).uniform(0.01, 1, 16), RATE // 4)
    same = pesq(speech, speech, RATE).value
    # ITU-T P.862.2 maps the best raw score, 4.5, to 4.64.
    assert same == pytest.approx(4.64, abs=0.01)
    disturbed = pesq(speech + 0.3 * noise(5)[RATE:], speech, RATE).value
    assert disturbed is not None
    assert disturbed < 4
    assert pesq(speech[:4800], speech[:4800], RATE).reason == "PESQ: Buffer needs to be at least 1/4 of a second long"


@pytest.mark.parametrize("measure", [pesq, stoi])
def test_silence_is_not_rated(monkeypatch: pytest.MonkeyPatch, measure: Callable[..., Reading]) -> None:
    for name in ("pesq", "pystoi"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for signals in ((noise(), np.zeros(RATE)), (np.zeros(RATE), noise())):
        assert measure(*signals, RATE).reason == "silence has neither quality nor intelligibility"


@pytest.mark.parametrize("samples", [1, 239, 240, 1000, 24_000])
def test_what_is_aligned_already_comes_back_unchanged(samples: int) -> None:
    signal = noise()[:samples]
    fitted = warp(signal, signal, path=straight(max(1, samples // HOP)), hop=HOP)
    assert fitted == pytest.approx(signal, abs=1e-12)


def test_a_slower_signal_is_brought_to_the_pace_of_the_original() -> None:
    def sweep(seconds: float) -> np.ndarray:
        """From 200 Hz to 800 Hz."""
        time = np.arange(round(seconds * RATE)) / RATE
        return 0.3 * np.sin(2 * np.pi * (200 * time + 300 * time**2 / seconds))

    original, slow = sweep(1.0), sweep(1.3)
    frames, slow_frames = 100, 130
    path = align(np.linspace(0, 1, slow_frames)[:, None], np.linspace(0, 1, frames)[:, None])
    fitted = warp(slow, original, path=path, hop=HOP)
    assert len(fitted) == len(original)
    inner = slice(2 * HOP, -2 * HOP)
    assert np.corrcoef(fitted[inner], original[inner])[0, 1] > 0.97
    assert abs(np.corrcoef(slow[: len(original)], original)[0, 1]) < 0.5


def test_a_shift_within_a_hop_is_found() -> None:
    original = noise()
    fitted = warp(np.concatenate([np.zeros(100), original]), original, path=straight(100), hop=HOP)
    inner = slice(2 * HOP, -2 * HOP)
    assert fitted[inner] == pytest.approx(original[inner], abs=1e-9)


def test_optional_packages_are_imported_when_asked_for() -> None:
    assert perception._optional("no_such_package_anywhere") is None
