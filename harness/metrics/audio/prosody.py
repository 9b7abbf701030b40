"""Prosody of an utterance beside that of a reference with the same text and voice, spoken in other segments.

Pitch, rate, loudness and pauses differ between two splits of a text. Each value says by how much.
"""

from typing import TYPE_CHECKING

from harness.core.records.value import Reading, known, unknown
from harness.metrics.audio.spectra import HOP_S, SLICE, SPOKEN_DB, hop_length, spoken_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.audio.alignment import AlignedSpectra
    from harness.metrics.audio.spectra import Floats

PROSODY = ("timbre_peak", "pitch", "pitch_spread", "pause", "opening_rate", "opening_loudness")
"""Values for the verdict on joined speech: dB, semitones, ratio, s, ratio, dB; each of the variant to the reference."""
OPENING_S = 1.5
"""Speech of a first segment. Its rate and loudness are those relative to the rest of the utterance."""
TIMBRE_S = 0.7
"""Long enough for several sounds, and short beside a segment: it separated voices better than 1 s or more."""
PITCH_WINDOW_S = 0.05
LOWEST_HZ, HIGHEST_HZ = 60.0, 450.0
PERIODIC = 0.5
"""The normalised autocorrelation from which a frame is voiced."""
OCTAVE_COST = 0.02
"""Taken off the autocorrelation for each octave below the highest pitch: two periods correlate as well as one."""
FEWEST_VOICED = 20
OCTAVE = 12


def compare_prosody(
    variant: "NDArray[np.floating]", reference: "NDArray[np.floating]", sample_rate: int, aligned: "AlignedSpectra"
) -> dict[str, Reading]:
    """The values named in `PROSODY`; `aligned` has the spectra of both signals."""
    import numpy as np

    ours, theirs = spoken_frames(aligned.power_x), spoken_frames(aligned.power_y)
    if not ours.any() or not theirs.any():
        return dict.fromkeys(PROSODY, unknown("one of them is silent"))
    found = {
        "timbre_peak": _timbre_peak(aligned, ours, theirs),
        "pause": known((_longest_pause(ours) - _longest_pause(theirs)) * HOP_S),
    }
    notes = [semitones(each, sample_rate) for each in (variant, reference)]
    if min(len(each) for each in notes) < FEWEST_VOICED:
        found |= dict.fromkeys(("pitch", "pitch_spread"), unknown("too little of it has a pitch"))
    else:
        medians, spreads = [np.median(each) for each in notes], [_spread(each) for each in notes]
        spread = known(float(spreads[0] / spreads[1])) if spreads[1] else unknown("the reference's pitch is constant")
        found |= {"pitch": known(float(medians[0] - medians[1])), "pitch_spread": spread}
    return found | _opening(aligned, ours, theirs)


def semitones(audio: "NDArray[np.floating]", sample_rate: int) -> "Floats":
    """Pitch of each voiced frame (10 ms), shape (voiced frames,), in semitones above 1 Hz.

    By the autocorrelation of 50 ms under a Hann window, divided by the window's own (P. Boersma, IFA Proceedings 17,
    1993).
    """
    import numpy as np

    length = round(PITCH_WINDOW_S * sample_rate)
    if len(audio) < length:
        return np.empty(0)
    window = np.hanning(length)
    transform = 1 << (2 * length - 1).bit_length()
    shortest, longest = int(sample_rate / HIGHEST_HZ), int(sample_rate / LOWEST_HZ)
    own = np.fft.irfft(np.square(np.abs(np.fft.rfft(window, n=transform))))[: longest + 1]
    cost = OCTAVE_COST * np.log2(np.arange(shortest, longest + 1) / shortest)
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(audio, dtype=np.float64), length)
    frames = frames[:: hop_length(sample_rate)]
    quiet = np.square(frames).mean(axis=1)
    frames = frames[quiet > quiet.max() * 10 ** (SPOKEN_DB / 10)]
    found = []
    for begin in range(0, len(frames), SLICE):
        part = frames[begin : begin + SLICE]
        part = (part - part.mean(axis=1, keepdims=True)) * window
        correlation = np.fft.irfft(np.square(np.abs(np.fft.rfft(part, n=transform, axis=1))), axis=1)[:, : longest + 1]
        correlation = correlation / correlation[:, :1] * (own[0] / own)
        best = (correlation[:, shortest:] - cost).argmax(axis=1) + shortest
        voiced = correlation[np.arange(len(part)), best] >= PERIODIC
        found.append(12 * np.log2(sample_rate / best[voiced]))
    return np.concatenate(found) if found else np.empty(0)


def _spread(notes: "Floats") -> float:
    """The semitones from the 10 % to the 90 % quantile, after notes are folded into the octave about their median.

    An autocorrelation takes one frame in ten for an octave above or below what it is, so that without it the spread of
    the same pitch differs by a factor of two from sound to sound.
    """
    import numpy as np

    folded = (notes - np.median(notes) + OCTAVE / 2) % OCTAVE
    low, high = np.quantile(folded, (0.1, 0.9))
    return float(high - low)


def _longest_pause(spoken: "NDArray[np.bool_]") -> int:
    """The frames of the longest pause between two frames of speech."""
    import numpy as np

    return int(np.diff(np.flatnonzero(spoken)).max(initial=1)) - 1


def _timbre_peak(aligned: "AlignedSpectra", ours: "NDArray[np.bool_]", theirs: "NDArray[np.bool_]") -> Reading:
    """The largest distance (dB) between the mean spectra of any 0.7 s of speech: a part in another voice has one."""
    import numpy as np

    both = ours[aligned.rows] & theirs[aligned.columns]
    apart = aligned.cepstra_x[aligned.rows[both]] - aligned.cepstra_y[aligned.columns[both]]
    width = min(len(apart), round(TIMBRE_S / HOP_S))
    if not width:
        return unknown("they speak at no time together")
    sums = np.concatenate([np.zeros((1, apart.shape[1])), apart.cumsum(axis=0)])
    means = (sums[width:] - sums[:-width]) / width
    return known(float(10 / np.log(10) * np.sqrt(2 * np.square(means).sum(axis=1)).max()))


def _opening(aligned: "AlignedSpectra", ours: "NDArray[np.bool_]", theirs: "NDArray[np.bool_]") -> dict[str, Reading]:
    """Rate (ratio) and loudness (dB) of the opening relative to the rest, of the variant relative to the reference."""
    import numpy as np

    names = ("opening_rate", "opening_loudness")
    end = int(np.flatnonzero(theirs)[0]) + round(OPENING_S / HOP_S)
    place = int(np.searchsorted(aligned.path.columns, end))
    if theirs[end:].sum() < OPENING_S / HOP_S or place >= len(aligned.path.rows):
        return dict.fromkeys(names, unknown("the text is too short to compare its beginning with its end"))
    ends = int(aligned.path.rows[place]), end
    spoken, loudness = [], []
    for power, mask, at in zip((aligned.power_x, aligned.power_y), (ours, theirs), ends, strict=True):
        parts = [power[:at][mask[:at]].sum(axis=1), power[at:][mask[at:]].sum(axis=1)]
        if not all(map(len, parts)):
            return dict.fromkeys(names, unknown("one of them is silent at the beginning or the end"))
        spoken.append(len(parts[0]) / len(parts[1]))
        loudness.append(10 * np.log10(parts[0].mean() / parts[1].mean()))
    return {
        "opening_rate": known(float(spoken[1] / spoken[0])),
        "opening_loudness": known(float(loudness[0] - loudness[1])),
    }
