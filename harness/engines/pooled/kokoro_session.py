"""One `Kokoro` object as a session of the pool: segments whole, or window by window."""

# ruff: noqa: RUF001 - the phonemes look like Latin letters

from typing import TYPE_CHECKING, Any

from harness.engines.pooled.segment_request import SegmentRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from harness.engines.pooled.windows.chain import WindowOrder
    from harness.engines.pooled.windows.halves import Priors
    from harness.engines.pooled.windows.plan import Pace
    from harness.engines.pooled.windows.session import HalvesSession, Statistics

_SAMPLE = (
    "ðə kwˈɪk bɹˈaʊn fˈɑːks dʒˈʌmps ˌoʊvɚ ðə lˈeɪzi dˈɑːɡ, ænd ðˈɛn ɪt ɹˈɛsts baɪ ðɪ ˈoʊld ɹˈɪvɚ "
    "ʌntˈɪl ðɪ ˈiːvnɪŋ kˈʌmz."
)
"""Speech from which the statistics of a voice are taken, about 6 s."""


class KokoroSession:
    """Runs one order at a time. Its audio is read-only, because the cache may hold it."""

    def __init__(self, kokoro: Any, pace: "Callable[[], Pace]", priors: "Priors | None") -> None:  # noqa: ANN401 - untyped library
        self._kokoro = kokoro
        self._pace = pace
        self._priors = priors

    def __call__(self, order: "SegmentRequest | WindowOrder") -> "NDArray[np.float32]":
        """The audio of the segment or the window, without a pause; what follows or leads it in silence is trimmed."""
        import numpy as np

        if isinstance(order, SegmentRequest):
            # The model makes the pauses within a segment, as in `create_stream`; `Answer` adds those between segments.
            audio, _ = self._kokoro.create(
                order.phonemes, order.style, order.speed, is_phonemes=True, sentence_pause=0.0, clause_pause=0.0
            )
        else:
            audio = self._window(order)
        # A copy, because trimming returns a view that keeps the untrimmed audio alive.
        kept: NDArray[np.float32] = np.array(audio, dtype=np.float32)
        kept.flags.writeable = False
        return kept

    def _window(self, order: "WindowOrder") -> "NDArray[np.float32]":
        from kokoro_onnx.trim import trim

        session: HalvesSession = self._kokoro.sess
        segment = order.segment
        at = order.at
        if at is None:
            speech = session.begin(self._feeds(segment))
            at = session.plan(speech, self._pace(), lambda: self._statistics(segment.style))
        audio, order.rest = session.window(at)
        is_first, is_last = at.tail is None, order.rest is None
        start, end = trim(audio)[1] if is_first or is_last else (0, 0)
        return audio[start if is_first else 0 : end if is_last else len(audio)]

    def _statistics(self, style: "NDArray[np.float32]") -> "Statistics":
        session: HalvesSession = self._kokoro.sess
        assert self._priors is not None  # noqa: S101 - for the type checker; a plan with a window comes with it
        sample = SegmentRequest(phonemes=_SAMPLE, style=style, speed=1.0)
        return self._priors.get(style, lambda: session.statistics(session.begin(self._feeds(sample))))

    def _feeds(self, segment: SegmentRequest) -> dict[str, Any]:
        """The inputs of the model, as kokoro-onnx gives them."""
        tokens = self._kokoro.tokenizer.tokenize(segment.phonemes)
        session: HalvesSession = self._kokoro.sess
        return session.feeds([0, *tokens, 0], segment.style[len(tokens)], segment.speed)
