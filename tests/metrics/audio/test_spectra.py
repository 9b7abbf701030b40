import numpy as np
import pytest

from harness.metrics.audio import spectra

RATE = 24_000


def tone(hertz: float, *, seconds: float = 0.5, amplitude: float = 1.0, rate: int = RATE) -> np.ndarray:
    wave: np.ndarray = amplitude * np.sin(2 * np.pi * hertz / rate * np.arange(round(seconds * rate)))
    return wave


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 48_000])
def test_a_full_scale_sine_peaks_at_a_quarter_in_its_own_bin(rate: int) -> None:
    power = spectra.power_spectra(tone(1000.0, rate=rate), rate)
    frequencies = np.linspace(0, rate / 2, power.shape[1])
    middle = power[len(power) // 2]
    assert frequencies[1] <= 20
    assert abs(frequencies[np.argmax(middle)] - 1000) <= frequencies[1]
    assert middle.max() == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (600, 1), (601, 2), (840, 2), (841, 3), (24_000, 99)])
def test_every_sample_is_in_a_frame(samples: int, frames: int) -> None:
    # 24 kHz: windows of 600 samples, 240 apart.
    assert len(spectra.power_spectra(np.ones(samples), RATE)) == frames


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 48_000])
def test_mel_bands_keep_a_flat_spectrum_flat(rate: int) -> None:
    flat = np.full((2, spectra.power_spectra(np.ones(1), rate).shape[1]), 0.3)
    assert spectra.mel_powers(flat, rate) == pytest.approx(np.full((2, spectra.MEL_BANDS), 0.3))
    assert spectra.mel_cepstra(flat, rate) == pytest.approx(np.zeros((2, spectra.CEPSTRA)), abs=1e-12)


def mel_spectrogram(audio: np.ndarray) -> np.ndarray:
    return spectra.mel_levels(spectra.mel_powers(spectra.power_spectra(audio, RATE), RATE))


def test_mel_bands_are_in_the_order_of_frequency() -> None:
    loudest = [int(np.argmax(mel_spectrogram(tone(hertz))[20])) for hertz in (100, 300, 1000, 3000, 9000)]
    assert loudest == sorted(set(loudest))


def test_the_picture_ends_at_the_floor() -> None:
    assert set(np.unique(mel_spectrogram(np.zeros(RATE)))) == {-100.0}


def test_cepstra_are_the_cosines_of_the_bands_log_amplitude(monkeypatch: pytest.MonkeyPatch) -> None:
    bands = np.arange(spectra.MEL_BANDS) + 0.5
    amplitude = np.exp(1.5 + 0.7 * np.cos(np.pi * 3 * bands / spectra.MEL_BANDS))
    monkeypatch.setattr(spectra, "mel_powers", lambda power, _rate: power)
    expected = np.zeros(spectra.CEPSTRA)
    expected[3 - 1] = 0.7
    assert spectra.mel_cepstra(np.square(amplitude)[None, :], RATE)[0] == pytest.approx(expected, abs=1e-12)


def test_levels_are_the_largest_bin() -> None:
    assert spectra.levels(np.array([[0.01, 0.1], [0.0, 0.0]])) == pytest.approx([-10.0, -100.0])
