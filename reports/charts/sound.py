"""The sound of a scenario and of its original: a player, a waveform and a mel spectrogram of each, and the differences.

The drawings share one axis of seconds. For the differences, the variant is aligned to the original as in the metrics of
audio similarity, so that they show sound and not timing.
"""

import base64
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.analysis.audio_limits import counterpart_of, is_original_of, is_yardstick
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode, Scenario
from harness.metrics.registry import METRICS
from harness.store.audio import KEPT_LAUNCHES
from reports.charts.recordings import Recording, Sounding, levelled, read_recording
from reports.charts.svg import Axis, axis, opened, place, scale_line
from reports.text.format import arm_parts, metric_of, number, scale
from reports.views.arms import references_of
from reports.views.speech import Badge, Speech, Transcript

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.audio.alignment import Alignment
    from reports.charts.recordings import Signal

_WAVE, _MEL = 56, 84
"""Height of a waveform and of a spectrogram, px."""
_COLUMNS = 600
"""A waveform is drawn by the least and the greatest sample of each of this many parts."""
_QUIET_DB, _LOUD_DB = -80.0, -20.0
"""The range of colours in a spectrogram: mean power of a mel band, in dB of full scale."""
_APART_DB = 12.0
"""A difference of this size, or larger, has the full colour."""
_PAUSE_DB = -70.0
"""The difference is not drawn where both are below this level."""
_WHOSE = {"original": "the original's", "launch 1": "the first launch's"}
"""Name of the first of two takes → whose level both get; for any other name they get −23 LUFS."""
_SIMILARITY = ("mcd", "lsd", "duration_ratio")
_ITSELF = ("mcd_itself", "lsd_itself")


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One recording: its names, its sound as a data URL, its transcript, and its drawings."""

    name: str
    what: str
    source: str
    gain: str
    length: str
    transcript: Transcript | None
    wave: Markup
    mel: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """One or two takes. `difference` is empty for one take, `level` if their loudness is unknown."""

    takes: tuple[Take, ...]
    badge: Badge | None
    finding: str
    level: str
    axis: Markup
    difference: tuple[Markup, ...]
    reading: str


def sound(data: RunData, scenario: Scenario, folder: Path, speech: Speech | None = None) -> Sound | None:
    """The sound of a scenario of a run whose audio is in `folder`; None if none was kept.

    `speech` is the speech of the run, if it is known already. A scenario with which others are compared is shown with
    its own recording under the seed of another launch: differences are compared with that difference.
    """
    if scenario.mode.is_start_up:
        return None
    original = counterpart_of(scenario, data.run.scenarios, references=references_of(data))
    if original is None and is_yardstick(scenario, data.run.scenarios, references=references_of(data)):
        original = scenario
    found = _pair(data, scenario, original, folder)
    if not found:
        return None
    speech = speech or Speech(data)
    itself = original is not None and original.id == scenario.id
    peak = max(float(abs(each.samples).max()) for each in found) or 1.0
    on = axis(0.0, 1.01 * max(each.seconds for each in found), _seconds)
    names = ("launch 1", "launch 2, another seed") if itself else (_other_side(scenario, original, data), "this one")
    arms = [original or scenario, scenario] if len(found) > 1 else [scenario]
    players = levelled(found, speech, whose=_WHOSE.get(names[0], "") if len(found) > 1 else "")
    takes = tuple(
        _take(recording, player, name if len(found) > 1 else "this one", arm, on, peak=peak, speech=speech)
        for recording, player, name, arm in zip(found, players.players, names, arms, strict=False)
    )
    badge = speech.badge(scenario.id)
    if len(found) == 1:
        return Sound(
            takes=takes,
            badge=badge,
            finding=_alone(scenario, original),
            level=players.level,
            axis=scale_line(on),
            difference=(),
            reading="",
        )
    first, second = found
    return Sound(
        takes=takes,
        badge=badge,
        level=players.level,
        finding=_finding(data, scenario, None if itself else original),
        axis=scale_line(on),
        difference=_difference(first, second, on, peak=peak),
        reading=_reading(first, second, peak=peak),
    )


def _seconds(at: float) -> str:
    """The label of a tick of the time axis, with as many decimals as it needs."""
    places = next((places for places in (0, 1) if abs(at - round(at, places)) < 1e-6), 2)
    return f"{number(at, places)} s"


def _other_side(scenario: Scenario, other: Scenario | None, data: RunData) -> str:
    """The name of the first recording: "original" if it is known to be that."""
    known = other is None or is_original_of(other, scenario, data.run.scenarios)
    return "original" if known or other is None else " · ".join(arm_parts(other))


def _pair(data: RunData, scenario: Scenario, original: Scenario | None, folder: Path) -> list[Recording]:
    """The recordings of original and scenario of one launch, or of an original in two launches; or a single one."""

    def kept(whose: Scenario, launch: int) -> Recording | None:
        return read_recording(folder, data.run.id, scenario_id=whose.id, launch=launch)

    launches = range(KEPT_LAUNCHES)
    if original is None:
        pairs = [[kept(scenario, launch)] for launch in launches]
    elif original.id == scenario.id:
        pairs = [[kept(scenario, launch) for launch in launches]]
    else:
        pairs = [[kept(original, launch), kept(scenario, launch)] for launch in launches]
    some = [[recording for recording in pair if recording] for pair in pairs]
    whole = [pair for pair in some if len({recording.rate for recording in pair}) == 1 and len(pair) == len(pairs[0])]
    if whole:
        return whole[0]
    own = next((recording for launch in launches if (recording := kept(scenario, launch))), None)
    return [own] if own else []


def _take(
    recording: Recording, player: Sounding, name: str, scenario: Scenario, on: Axis, *, peak: float, speech: Speech
) -> Take:
    from harness.metrics.audio.spectra import mel_levels

    length = f"{number(recording.seconds, 2)} s"
    share = on.at(recording.seconds)
    return Take(
        name=name,
        what=" · ".join(arm_parts(scenario)),
        source=player.source,
        gain=player.gain,
        length=length,
        transcript=speech.transcript(recording.scenario_id, recording.launch),
        wave=_wave(recording.samples / peak, share, f"waveform: {name}, {length}"),
        mel=_picture(_levels(mel_levels(recording.bands)), share, f"mel spectrogram: {name}"),
    )


def _alone(scenario: Scenario, original: Scenario | None) -> str:
    if original is None:
        return "The run has no other recording of this text."
    if original.id == scenario.id and scenario.mode is not Mode.WHOLE:
        return "One repetition of this original was kept; its variants are laid beside it on their own pages."
    return "There is no second recording of the same launch to compare it with."


def _finding(data: RunData, scenario: Scenario, original: Scenario | None) -> str:
    """A sentence with the metrics of audio similarity, and with those of the original against itself."""
    ours = _medians(data, scenario, _ITSELF if original is None else _SIMILARITY)
    known = [f"{metric_of(name).title} {scale(name, [value]).full(value)}" for name, value in ours.items()]
    if not known:
        return "The differences of the two recordings were not computed."
    if original is None:
        return f"The same model under two seeds: {', '.join(known)}. What a variant differs by is read beside this."
    own = _medians(data, original, _ITSELF)
    beside = [f"{scale(name, [value]).full(value)}" for name, value in own.items()]
    other = _other_side(scenario, original, data)
    other = f"the {other}" if other == "original" else other
    against = f"; {other} against itself under another seed: {', '.join(beside)}" if beside else ""
    return f"Against {other}: {', '.join(known)}{against}."


def _medians(data: RunData, scenario: Scenario, names: Iterable[str]) -> Mapping[str, float]:
    found = {each.metric: each.median for each in data.summaries if each.scenario_id == scenario.id}
    return {name: value for name in names if name in METRICS and (value := found.get(name)) is not None}


def _reading(first: Recording, second: Recording, *, peak: float) -> str:
    alike = len(first.samples) == len(second.samples)
    how = "sample by sample" if alike else "after the second was laid beside the first, piece by piece"
    loudest, dark, light, apart = (
        number(level, 0) for level in (20 * math.log10(peak), _QUIET_DB, _LOUD_DB, _APART_DB)
    )
    return (
        f"Waveforms on one scale, up to the loudest sample ({loudest} dB of full scale); their difference is taken "
        f"{how}. Spectrograms: 40 mel bands, low ones below, from {dark} (dark) to {light} dB. In their difference, "
        f"which is aligned, red is where the second is louder, blue where it is quieter; {apart} dB is the full colour."
    )


def _difference(first: Recording, second: Recording, on: Axis, *, peak: float) -> tuple[Markup, ...]:
    """The second minus the first, aligned to the first: as a waveform and as a mel spectrogram in dB."""
    import numpy as np

    from harness.metrics.audio.alignment import align
    from harness.metrics.audio.perception import warp
    from harness.metrics.audio.spectra import band_cepstra, hop_length, mel_levels

    cepstra = [band_cepstra(each.bands) for each in (second, first)]
    path = align(*cepstra, radius=max(100, len(cepstra[1]) // 10))
    alike = len(first.samples) == len(second.samples)
    fitted = second.samples if alike else warp(second.samples, first.samples, path=path, hop=hop_length(first.rate))
    apart = fitted - first.samples
    theirs, ours = (mel_levels(each.bands) for each in (first, second))
    gap = _alongside(ours, path, len(theirs)) - theirs
    gap[np.maximum(theirs, _alongside(ours, path, len(theirs))) < _PAUSE_DB] = 0.0
    share = on.at(first.seconds)
    largest = 20 * float(np.log10(max(1e-5, np.abs(apart).max())))
    mean = float(np.abs(gap).mean())
    return (
        _wave(apart / peak, share, f"difference of the waveforms, at most {number(largest, 0)} dB of full scale"),
        _picture(_diverging(gap), share, f"difference of the mel spectrograms, {number(mean, 1)} dB on average"),
    )


def _alongside(ours: "Signal", path: "Alignment", frames: int) -> "Signal":
    """The mean of our frames (rows of the path) that are aligned to each of the other's `frames` (its columns)."""
    import numpy as np

    total, beside = np.zeros((frames, ours.shape[1])), np.zeros(frames)
    np.add.at(total, path.columns, ours[path.rows])
    np.add.at(beside, path.columns, 1)
    return np.asarray(total / np.maximum(beside, 1)[:, None])


def _wave(samples: "Signal", share: float, finding: str) -> Markup:
    """The outline of a waveform over `share` per cent of the width, ±1 over the whole height."""
    import numpy as np

    samples = samples.clip(-1, 1)
    edges = np.linspace(0, len(samples), min(_COLUMNS, len(samples)) + 1).astype(int)
    lows, highs = (ends.reduceat(samples, edges[:-1]) for ends in (np.minimum, np.maximum))
    across = 1000 / len(lows)

    def points(values: Iterable[float], start: int, step: int) -> list[str]:
        return [f"{(start + step * index) * across:.1f} {50 - 50 * v:.1f}" for index, v in enumerate(values)]

    outline = [*points(highs, 0, 1), *points(lows[::-1], len(lows) - 1, -1)]
    return _lane(
        _WAVE,
        finding,
        f'<svg width="{place(share)}" height="{_WAVE}" viewBox="0 0 1000 100" preserveAspectRatio="none">'
        f'<path class="wave" d="M{"L".join(outline)}z"/></svg>',
    )


def _picture(pixels: "NDArray[np.uint8]", share: float, finding: str) -> Markup:
    """An image of shape (bands, frames, 4), low bands first, over `share` per cent of the width."""
    # matplotlib's imsave uses Pillow as well, and takes half a second to import.
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[::-1]).save(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return _lane(
        _MEL,
        finding,
        f'<image width="{place(share)}" height="{_MEL}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>',
    )


def _lane(height: int, finding: str, body: str) -> Markup:
    return Markup(f"{opened('recording', height, finding)}{body}</svg>")  # noqa: S704 - made of numbers and escaped texts


def _levels(mel: "Signal") -> "NDArray[np.uint8]":
    """RGBA of shape (bands, frames, 4): matplotlib's magma from `_QUIET_DB` to `_LOUD_DB`."""
    import matplotlib as mpl
    import numpy as np

    shades = np.clip((mel.T - _QUIET_DB) / (_LOUD_DB - _QUIET_DB), 0, 1)
    return np.asarray(mpl.colormaps["magma"](shades, bytes=True))


def _diverging(gap: "Signal") -> "NDArray[np.uint8]":
    """RGBA of shape (bands, frames, 4): red above 0, blue below, and transparent at 0."""
    import numpy as np

    strength = np.clip(gap.T / _APART_DB, -1, 1)
    pixels = np.empty((*strength.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(strength[..., None] > 0, (214, 62, 40), (36, 116, 196))
    pixels[..., 3] = np.abs(255 * strength).astype(np.uint8)
    return pixels
