"""The two halves of a model as one session: whole, as an `InferenceSession` looks, or window by window."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from harness.engines.pooled.windows.cut import (
    ENERGY,
    FEATURES,
    PITCH,
    SHARE,
    SPECTRUM,
    TEXT,
    mean_input,
    variance_input,
)
from harness.engines.pooled.windows.plan import CONTEXT, FADE, FRAME, Pace, joined, leading_silence, window_ends
from harness.engines.speech import EngineRefusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Statistics = tuple[NDArray[np.float32], ...]
    """The mean and the variance of each norm in turn, each float32 [1, channels, 1]."""

POINTS = {TEXT: 1, PITCH: 2, ENERGY: 2, SPECTRUM: 120}
"""Points of a feature for each frame. The spectrum has one more at its end."""
_KINDS = {"tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(float)": "float32"}
PRIOR_FRAMES = 160
"""The weight of the voice's statistics, in frames of speech, beside those of the text: 4 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """The features of a segment by name, and the inputs of the sound's half that do not change with time."""

    features: "Mapping[str, NDArray[np.float32]]"
    constant: Mapping[str, Any]

    @property
    def frames(self) -> int:
        """Frames of the whole segment."""
        return int(self.features[TEXT].shape[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the next window needs of those before: where it begins, their statistics and weight, and the overlap."""

    speech: Speech
    ends: tuple[int, ...]
    start: int
    statistics: "Statistics"
    weight: int
    tail: "NDArray[np.float32] | None" = None


class HalvesSession:
    """Both halves on one thread at a time. `run` computes the whole, to the last bit but for the norms' rounding."""

    def __init__(self, features: Any, sound: Any) -> None:  # noqa: ANN401 - untyped library
        self._first = features
        self._second = sound
        named = {each.name for each in sound.get_inputs()}
        self._constant = sorted(named & {each.name for each in features.get_inputs()})
        self._norms = next(number for number in count() if mean_input(number) not in named)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - untyped library
        """Inputs, providers and metadata are those of the first half, which begins as the model does."""
        return getattr(self._first, name)

    def get_outputs(self) -> Any:  # noqa: ANN401 - untyped library
        """The audio."""
        return self._second.get_outputs()[:1]

    def end_profiling(self) -> None:
        """Write the profiles of both halves."""
        for half in (self._first, self._second):
            half.end_profiling()

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, Any], run_options: Any = None) -> list[Any]:  # noqa: ANN401
        """The audio of the whole, as the model's own session gives it."""
        del outputs, run_options
        speech = self.begin(feeds)
        return [self._decode(speech, 0, speech.frames, None, 0.0)[0]]

    def feeds(self, tokens: Sequence[int], style: "NDArray[np.float32]", speed: float) -> dict[str, Any]:
        """The inputs as this model has them, older exports or newer: tokens [1, n], style [1, 256], speed [1]."""
        import numpy as np

        kinds = {each.name: _KINDS[each.type] for each in self.get_inputs()}
        values = {"style": style, "speed": [speed]}
        return {name: np.asarray(values.get(name, [tokens]), dtype=kind) for name, kind in kinds.items()}

    def begin(self, feeds: Mapping[str, Any]) -> Speech:
        """The features of the speech with these inputs."""
        values = self._first.run(list(FEATURES), dict(feeds))
        return Speech(
            features=dict(zip(FEATURES, values, strict=True)),
            constant={name: feeds[name] for name in self._constant},
        )

    def statistics(self, speech: Speech) -> "Statistics":
        return self._decode(speech, 0, speech.frames, None, 0.0)[1]

    def plan(self, speech: Speech, pace: Pace, prior: "Callable[[], Statistics]") -> Progress:
        """The windows of the speech, with the statistics of its voice to begin with if there is more than one."""
        start = leading_silence(speech.features[TEXT])
        ends = window_ends(speech.features[PITCH], speech.features[ENERGY], pace, begin=start)
        return Progress(
            speech=speech, ends=ends, start=start, statistics=prior() if len(ends) > 1 else (), weight=PRIOR_FRAMES
        )

    def window(self, at: Progress) -> "tuple[NDArray[np.float32], Progress | None]":
        """The sound of the next window, float32 (samples,), and what the one after it needs; None after the last."""
        end, *ends = at.ends
        is_first = at.tail is None
        if is_first and not ends:
            # The model's own sound: there is nothing that it has to be joined to.
            return self._decode(at.speech, 0, end, None, 0.0)[0], None
        frames = at.speech.frames
        low, high = max(0, at.start - CONTEXT), min(frames, end + CONTEXT)
        share = at.weight / (at.weight + high - low)
        sound, statistics = self._decode(at.speech, low, high, at.statistics, share)
        first = (at.start - low) * FRAME - (0 if is_first else FADE // 2)
        last = (end - low) * FRAME + (FADE // 2 if ends else 0)
        audio = joined(at.tail, sound[first:last])
        if not ends:
            return audio, None
        return audio[:-FADE], Progress(
            speech=at.speech,
            ends=tuple(ends),
            start=end,
            statistics=statistics,
            weight=at.weight + end - at.start,
            tail=audio[-FADE:],
        )

    def _decode(
        self, speech: Speech, low: int, high: int, earlier: "Statistics | None", share: float
    ) -> "tuple[NDArray[np.float32], Statistics]":
        """The sound of the frames from `low` to before `high`, float32 (samples,), and the combined statistics."""
        import numpy as np

        nothing = np.zeros((1, 1, 1), dtype=np.float32)
        feeds: dict[str, Any] = {**speech.constant, SHARE: np.array([share], dtype=np.float32)}
        for name, points in POINTS.items():
            beyond = 1 if name == SPECTRUM else 0
            feeds[name] = np.ascontiguousarray(speech.features[name][..., low * points : high * points + beyond])
        for number in range(self._norms):
            feeds[mean_input(number)] = earlier[2 * number] if earlier else nothing
            feeds[variance_input(number)] = earlier[2 * number + 1] if earlier else nothing
        audio, *statistics = self._second.run(None, feeds)
        sound = np.asarray(audio, dtype=np.float32).reshape(-1)
        if len(sound) != (high - low) * FRAME:
            raise EngineRefusal(
                f"this model cannot be decoded in windows: {high - low} frames give {len(sound)} samples, "
                f"not {(high - low) * FRAME}"
            )
        return sound, tuple(statistics)
