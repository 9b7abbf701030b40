"""kokoro-onnx on a pool of sessions: splits a text into segments, synthesises them in parallel and joins them in order.

With a `window` in the plan, the first segment of a text is decoded in windows, of which the first is soon there.

Segments are trimmed and joined as kokoro-onnx joins its batches. Only inference and trimming run in parallel: espeak-ng
has global state, so that phonemising takes a lock.
"""

# ruff: noqa: RUF001 - the phonemes look like Latin letters

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineCounters
from harness.engines.kokoro.engine import BLEND, SAMPLE_RATE, blended
from harness.engines.languages import spoken_language
from harness.engines.pooled.cache import Cache, CacheSettings, CacheState, Source
from harness.engines.pooled.kokoro_session import KokoroSession
from harness.engines.pooled.pool import Pool, Timed
from harness.engines.pooled.router import CostModel
from harness.engines.pooled.segment_request import SegmentRequest
from harness.engines.pooled.splitter import PAUSE_CLAUSE_S, PAUSE_SENTENCE_S, Plan, split_phonemes
from harness.engines.pooled.windows.chain import WindowChain, WindowOrder
from harness.engines.pooled.windows.plan import FRAMES_PER_S, WINDOWS_SHARE, Pace
from harness.engines.protocol import Stages
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock
    from harness.engines.pooled.windows.halves import Priors

SLOWEST, FASTEST = 0.5, 2.0
"""Speeds that kokoro-onnx takes."""
LEAST_DUE_S = 1e-3
_SENTENCE = "ðə kwˈɪk bɹˈaʊn fˈɑːks dʒˈʌmps ˌoʊvɚ ðə lˈeɪzi dˈɑːɡ."
WARM_UP = ("həlˈoʊ.", _SENTENCE)
"""A word, and a sentence as long as a first segment: two loads fit a `CostModel`, which later segments refine."""


class NoStages(Stages):
    """Stamps nothing, for a server, which never takes the stamps: they would grow without limit."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        del name
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentKey:
    """All that decides a segment's audio. `made_by` is a digest of the model, the voices, the packages and options."""

    made_by: str
    phonemes: str
    voice: str
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The audio of one segment, perhaps still to come, and the seconds of silence that follow it.

    `windows` yields the same audio in parts, which are segments too, if it is decoded so.
    """

    audio: "Future[NDArray[np.float32]]"
    source: Source
    pause_s: float
    windows: "WindowChain | None" = None

    def parts(self) -> "Iterator[Segment]":
        """The segment, or its windows; each must be waited for before the next."""
        if self.windows is None:
            yield self
            return
        for audio in self.windows.parts():
            yield Segment(audio=audio, source=self.source, pause_s=0.0)
        if self.pause_s:
            # Only now is it known which window was the last.
            yield Segment(audio=_no_audio(), source=self.source, pause_s=self.pause_s)

    def joined(self, audio: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """`audio` with the pause, float32 (frames,)."""
        import numpy as np

        silence = np.zeros(int(self.pause_s * SAMPLE_RATE), dtype=np.float32)
        return np.concatenate([audio, silence]) if len(silence) else audio


class Answer:
    """The synthesis of one text. Iterate over it for its segments in order; `close` cancels those still to come.

    Only the next few segments are requested ahead of the reader, so that other texts get their turn.
    """

    def __init__(self, synthesizer: "Synthesizer", keys: Sequence[SegmentKey], style: "NDArray[np.float32]") -> None:
        self._synthesizer = synthesizer
        self._keys = keys
        self._style = style
        self._due = synthesizer.now()
        self._requested: list[Segment] = []
        self._read = 0

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources of the segments requested so far."""
        return tuple(segment.source for segment in self._requested)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Segment]:
        while self._read < len(self._keys):
            while len(self._requested) < min(len(self._keys), self._read + 1 + self._synthesizer.ahead):
                self._request(self._keys[len(self._requested)])
            self._read += 1
            yield from self._requested[self._read - 1].parts()

    def close(self) -> None:
        """Cancel the segments that were requested and are not done."""
        for segment in self._requested:
            segment.audio.cancel()

    def _request(self, key: SegmentKey) -> None:
        from kokoro_onnx.chunker import pause_after

        is_last = len(self._requested) == len(self._keys) - 1
        pause = 0.0 if is_last else pause_after(key.phonemes, PAUSE_SENTENCE_S, PAUSE_CLAUSE_S)
        self._requested.append(
            self._synthesizer.request(key, self._style, due=self._due, pause_s=pause, first=not self._requested)
        )
        # The next segment is needed when this one has been played, and after all windows of this one.
        self._due += max(pause + self._synthesizer.audio_seconds(key), LEAST_DUE_S)


class Synthesizer:
    """Sessions, voices, phonemiser and cache. Every method may be called from any thread."""

    def __init__(
        self,
        sessions: Sequence[tuple[str, Any]],
        *,
        clock: "Clock",
        stages: Stages,
        cache: CacheSettings = CacheSettings(),  # noqa: B008 - it is immutable
        plan: Plan = Plan(),  # noqa: B008 - likewise
        priors: "Priors | None" = None,
    ) -> None:
        """`priors` has the statistics of voices; needed for a plan with a window, as are sessions of halves."""
        self._kokoro = sessions[0][1]
        self.plan = plan
        """How texts are split. A server sets it after its warm-up, before the first text."""
        self._made_by = cache.made_by
        self._clock = clock
        self._stages = stages
        self._library_lock = threading.Lock()
        self._styles: dict[str, NDArray[np.float32]] = {}
        self._voices = frozenset(self._kokoro.get_voices())
        self._audio_cost = CostModel()
        self._audio_cost_lock = threading.Lock()
        self.pool: Pool[SegmentRequest | WindowOrder, NDArray[np.float32]] = Pool(
            [(name, KokoroSession(kokoro, self._pace, priors)) for name, kokoro in sessions], clock=clock
        )
        self._cache: Cache[SegmentKey, NDArray[np.float32]] = Cache(
            limit=cache.limit, ttl_s=cache.ttl_s, size_of=_size_of, clock=clock
        )
        self.ahead = self.pool.size
        """The number of segments that are requested ahead of the one that is waited for."""

    @property
    def voices(self) -> tuple[str, ...]:
        return tuple(sorted(self._voices))

    @property
    def cache_state(self) -> CacheState:
        """The counters of the cache, in segments."""
        return self._cache.state

    @property
    def counters(self) -> EngineCounters:
        """Segments since the start, by session and by source."""
        cache = self._cache.state
        return EngineCounters(
            routes=tuple((state.name, state.jobs) for state in self.pool.states()),
            hits=cache.hits,
            misses=cache.misses,
            joined=cache.joined,
            evicted=cache.evicted,
            cache_bytes=cache.size,
            cache_limit=cache.limit,
        )

    def synthesise(self, request: SpeechRequest) -> Answer:
        """Phonemise and split the text; iterate over the answer to synthesise it. SpeechFailure.

        The first call in a process is slow, and calls wait for one another: do not call it in an event loop's thread.
        """
        if not SLOWEST <= request.speed <= FASTEST:
            raise SpeechFailure(f"speed {request.speed:g} is not within {SLOWEST:g} to {FASTEST:g}", fault="speed")
        style = self._style(request.voice)
        keys = [
            SegmentKey(made_by=self._made_by, phonemes=phonemes, voice=request.voice, speed=request.speed)
            for phonemes in split_phonemes(self._phonemes(request), self.plan)
        ]
        if not keys:
            raise SpeechFailure("there is nothing to speak: the text gives no phonemes", fault="no-phonemes")
        return Answer(self, keys, style)

    def request(
        self, key: SegmentKey, style: "NDArray[np.float32]", *, due: float, pause_s: float = 0.0, first: bool = False
    ) -> Segment:
        """Synthesise one segment, or find it in the cache; `due` in seconds on the clock.

        The `first` of a text is decoded in windows if the plan has one.
        """
        order = SegmentRequest(phonemes=key.phonemes, style=style, speed=key.speed)
        chains: list[WindowChain] = []

        def compute() -> "Future[NDArray[np.float32]]":
            if first and self.plan.window:
                chains.append(WindowChain(lambda window: self.pool.submit(window, load=window.load, due=due), order))
                future = chains[0].whole
            else:
                future = self.pool.submit(order, load=order.load, due=due)
            future.add_done_callback(lambda done: self._learn(order, done))
            return future

        audio, source = self._cache.get(key, compute)
        return Segment(audio=audio, source=source, pause_s=pause_s, windows=chains[0] if chains else None)

    def audio_seconds(self, key: SegmentKey) -> float:
        """The expected length of a segment's audio, from the segments so far; 0 before the first."""
        with self._audio_cost_lock:
            return self._audio_cost.predict(len(key.phonemes) / key.speed)

    def now(self) -> float:
        """Seconds on the clock."""
        return self._clock.now_ns() / 1e9

    def warm_up(
        self, voice: str, *, texts: Sequence[str] = WARM_UP, go_on: Callable[[], bool] = lambda: True
    ) -> "list[list[Timed[NDArray[np.float32]]]]":
        """Synthesise `texts` on every session, to allocate its memory and to fit its `CostModel`; the runs of each.

        No segment is begun once `go_on` returns False.
        """
        style = self._style(voice)
        orders = [SegmentRequest(phonemes=self._known(text), style=style, speed=1.0) for text in texts]
        timed = self.pool.warm_up([(order, order.load) for order in orders], go_on=go_on)
        if self.plan.window and orders:
            # The statistics of the voice, and the memory of a window.
            window = WindowOrder(segment=orders[-1])
            self.pool.warm_up([(window, window.load)], go_on=go_on)
        return timed

    def close(self) -> None:
        """End the sessions' threads."""
        self.pool.close()

    def _pace(self) -> Pace:
        return Pace(first=round(self.plan.window * FRAMES_PER_S), rtf=WINDOWS_SHARE * self.plan.rtf)

    def _learn(self, order: SegmentRequest, done: "Future[NDArray[np.float32]]") -> None:
        if not done.cancelled() and done.exception() is None:
            with self._audio_cost_lock:
                self._audio_cost.observe(order.load, len(done.result()) / SAMPLE_RATE)

    def _phonemes(self, request: SpeechRequest) -> str:
        if request.is_phonemes:
            return self._known(request.text)
        language = request.language or spoken_language(request.voice)
        try:
            with self._library_lock, self._stages.stage("phonemise"):
                phonemes: str = self._kokoro.tokenizer.phonemize(request.text, language)
        except RuntimeError as error:
            raise SpeechFailure(" ".join(str(error).split()), fault="language") from error
        return phonemes

    def _known(self, phonemes: str) -> str:
        """The phonemes that are in the vocabulary, and the spaces."""
        vocabulary = self._kokoro.tokenizer.vocab
        return "".join(each for each in " ".join(phonemes.split()) if each in vocabulary)

    def _style(self, voice: str) -> "NDArray[np.float32]":
        """A voice, or the mean of several joined by "+". SpeechFailure for an unknown name."""
        import numpy as np

        names = voice.split(BLEND)
        if unknown := [name for name in names if name not in self._voices]:
            raise SpeechFailure(f"there is no voice {unknown[0][:80]!r}", fault="voice")
        with self._library_lock:  # the voices file is one open archive
            for name in names:
                if name not in self._styles:
                    self._styles[name] = np.asarray(self._kokoro.get_voice_style(name), dtype=np.float32)
        return blended([self._styles[name] for name in names])


KEY_BYTES = 400
"""The memory of a key and its cache entry besides the text."""


def _size_of(key: SegmentKey, audio: "NDArray[np.float32]") -> int:
    return int(audio.nbytes) + 4 * len(key.phonemes) + KEY_BYTES


def _no_audio() -> "Future[NDArray[np.float32]]":
    from concurrent.futures import Future

    import numpy as np

    nothing: Future[NDArray[np.float32]] = Future()
    nothing.set_result(np.zeros(0, dtype=np.float32))
    return nothing


def check_package() -> None:
    """EngineRefusal if the installed kokoro-onnx cannot synthesise segments."""
    try:
        from kokoro_onnx.chunker import pause_after
    except ImportError as error:
        raise EngineRefusal("speaking in pieces needs kokoro-onnx 0.6 or newer in this environment") from error
    del pause_after
