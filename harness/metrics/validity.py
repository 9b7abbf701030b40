"""Validity of audio: a wrong answer must not count as a fast one. Runs in workers: standard library only."""

from harness.core.records.repetition import VALID, AudioFeatures, Outcome, OutcomeKind
from harness.core.records.scenario import Band

SILENT_DBFS = -60.0
"""The limit of the RMS over all of the audio. Speech lies at least 30 dB above it, dither and codec noise below."""
CLIPPED_SHARE = 0.01
SHORTEST_OF_ORIGINAL = 0.75
"""A variant's durations differ by a few per cent from its original's. If a quarter is missing, text is missing."""


def check(
    features: AudioFeatures,
    *,
    band: Band,
    characters: int,
    expected_sample_rate: int,
    original_seconds: float | None = None,
) -> Outcome:
    """VALID, or an outcome that names every fault with its values.

    `band` is the plausible range of seconds of audio per character at the requested speed. `original_seconds` is the
    duration of the original's audio of the same text; None if this is the original or there is no such audio.
    """
    faults = [
        *_format_faults(features, sample_rate=expected_sample_rate),
        *_level_faults(features),
        *_length_faults(features, band=band, characters=characters, original_seconds=original_seconds),
    ]
    return Outcome(kind=OutcomeKind.INVALID_AUDIO, reason=" ".join(faults)) if faults else VALID


def _format_faults(features: AudioFeatures, *, sample_rate: int) -> list[str]:
    faults = []
    if features.sample_rate != sample_rate:
        faults.append(f"The sample rate is {features.sample_rate} Hz, not {sample_rate} Hz.")
    if features.channels != 1:
        faults.append(f"The number of channels is {features.channels}, not 1.")
    return faults


def _level_faults(features: AudioFeatures) -> list[str]:
    if not features.frames:
        return []  # `_length_faults` reports it
    if not features.finite:
        return ["The audio holds values that are not finite."]
    faults = []
    if features.rms_dbfs is None:
        faults.append("The audio is silent: every sample is 0.")
    elif features.rms_dbfs < SILENT_DBFS:
        faults.append(f"The audio is silent: its RMS of {features.rms_dbfs:.1f} dBFS is below {SILENT_DBFS:g} dBFS.")
    if features.clipped_share is not None and features.clipped_share > CLIPPED_SHARE:
        share, limit = 100 * features.clipped_share, 100 * CLIPPED_SHARE
        faults.append(f"The audio is clipped: {share:.1f} % of its frames are at full scale, more than {limit:g} %.")
    return faults


def _length_faults(
    features: AudioFeatures, *, band: Band, characters: int, original_seconds: float | None
) -> list[str]:
    if not features.frames:
        return ["No audio came."]
    if features.sample_rate <= 0:
        return []  # `_format_faults` reports it
    seconds = features.frames / features.sample_rate
    low, high = band.low * characters, band.high * characters
    plausible = f"{low:.2f} s to {high:.2f} s are plausible for {characters} characters."
    if seconds < low:
        return [f"The audio is too short: {seconds:.2f} s, where {plausible}"]
    if seconds > high:
        return [f"The audio is too long: {seconds:.2f} s, where {plausible}"]
    if original_seconds is not None and seconds < SHORTEST_OF_ORIGINAL * original_seconds:
        share = 100 * seconds / original_seconds
        limit = 100 * SHORTEST_OF_ORIGINAL
        against = f"{share:.0f} % of the original's {original_seconds:.2f} s, less than {limit:g} %"
        return [f"The audio is truncated: {seconds:.2f} s are {against}."]
    return []
