"""kokoro-onnx on a pool of sessions: a text is cut into pieces, which are spoken side by side and joined in order.

The pieces are trimmed and joined as kokoro-onnx joins its batches. Phonemising has a lock of its own, since espeak-ng's
state is global; what the sessions do at the same time is inference and trimming.
"""

# ruff: noqa: RUF001 - phonemes are meant as they stand

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineCounters
from harness.engines.kokoro.engine import BLEND, blended
from harness.engines.languages import spoken_language
from harness.engines.pooled.cache import Cache, CacheState, Source
from harness.engines.pooled.pool import Pool
from harness.engines.pooled.router import CostModel
from harness.engines.pooled.splitter import PAUSE_CLAUSE_S, PAUSE_SENTENCE_S, split_phonemes
from harness.engines.protocol import Stages
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

SAMPLE_RATE = 24_000
SLOWEST, FASTEST = 0.5, 2.0
"""Speeds that kokoro-onnx takes."""
_SENTENCE = "ðə kwˈɪk bɹˈaʊn fˈɑːks dʒˈʌmps ˌoʊvɚ ðə lˈeɪzi dˈɑːɡ."
WARM_UP = ("həlˈoʊ.", _SENTENCE, f"{_SENTENCE} {_SENTENCE} {_SENTENCE}")
"""A word, a sentence and a long piece: three loads are enough for a line."""


class NoStages(Stages):
    """Stamps nothing: for who never takes the stamps, which would grow for ever."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Only the work inside."""
        del name
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentKey:
    """All that decides a piece's audio. `made_by` covers the model's digest, the voices', packages and options."""

    made_by: str
    phonemes: str
    voice: str
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRequest:
    """What a session is to speak; `style` is float32 [510, 1, 256]."""

    phonemes: str
    style: "NDArray[np.float32]"
    speed: float

    @property
    def load(self) -> float:
        """What audio and work are proportional to."""
        return len(self.phonemes) / self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of an answer, perhaps still to come, and the seconds of silence that follow it."""

    audio: "Future[NDArray[np.float32]]"
    source: Source
    pause_s: float

    def joined(self, audio: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """The piece's audio with its pause, float32 (frames,)."""
        import numpy as np

        silence = np.zeros(int(self.pause_s * SAMPLE_RATE), dtype=np.float32)
        return np.concatenate([audio, silence]) if len(silence) else audio


class Answer:
    """A text on its way. The pieces are ordered a few ahead of the listener, so that others get their turn.

    Iterate over it for the parts in order; `close` gives up what was ordered and not yet taken.
    """

    def __init__(self, speaker: "Synthesizer", pieces: Sequence[SegmentKey], style: "NDArray[np.float32]") -> None:
        self._speaker = speaker
        self._pieces = pieces
        self._style = style
        self._due = speaker.now()
        self._ordered: list[Part] = []
        self._given = 0

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the pieces ordered so far came from."""
        return tuple(part.source for part in self._ordered)

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Part]:
        while self._given < len(self._pieces):
            while len(self._ordered) < min(len(self._pieces), self._given + 1 + self._speaker.ahead):
                self._order(self._pieces[len(self._ordered)])
            self._given += 1
            yield self._ordered[self._given - 1]

    def close(self) -> None:
        """The listener has gone, or has all."""
        for part in self._ordered:
            part.audio.cancel()

    def _order(self, piece: SegmentKey) -> None:
        from kokoro_onnx.chunker import pause_after

        last = len(self._ordered) == len(self._pieces) - 1
        pause = 0.0 if last else pause_after(piece.phonemes, PAUSE_SENTENCE_S, PAUSE_CLAUSE_S)
        audio, source = self._speaker.order(piece, self._style, due=self._due)
        self._ordered.append(Part(audio=audio, source=source, pause_s=pause))
        # The next piece is needed when this one has been played.
        self._due += pause + self._speaker.audio_seconds(piece)


class Synthesizer:
    """Sessions, voices, phonemiser and cache. Every method may be called from any thread."""

    def __init__(
        self,
        sessions: Sequence[tuple[str, Any]],
        *,
        made_by: str,
        cache_bytes: int,
        cache_ttl_s: float,
        clock: "Clock",
        stages: Stages,
    ) -> None:
        self._front = sessions[0][1]
        self._made_by = made_by
        self._clock = clock
        self._stages = stages
        self._phonemiser = threading.Lock()
        self._styles: dict[str, NDArray[np.float32]] = {}
        self._voices = frozenset(self._front.get_voices())
        self._speech = CostModel()
        self._speech_lock = threading.Lock()
        self.pool: Pool[SegmentRequest, NDArray[np.float32]] = Pool(
            [(name, _Session(kokoro)) for name, kokoro in sessions], clock=clock
        )
        self._cache: Cache[SegmentKey, NDArray[np.float32]] = Cache(
            limit=cache_bytes, ttl_s=cache_ttl_s, size_of=_size_of, clock=clock
        )
        self.ahead = self.pool.size
        """Pieces that are ordered beyond the one that the listener waits for."""

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices."""
        return tuple(sorted(self._voices))

    @property
    def cache_state(self) -> CacheState:
        """The cache's account, by pieces."""
        return self._cache.state

    @property
    def account(self) -> EngineCounters:
        """What was counted since the start: pieces by session, and by where they came from."""
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

    def speak(self, request: SpeechRequest) -> Answer:
        """Phonemise and cut; nothing is spoken before the answer is iterated over. SpeechFailure.

        Not quick the first time in a process, and it waits for other phonemising: not for an event loop's thread.
        """
        if not SLOWEST <= request.speed <= FASTEST:
            raise SpeechFailure(f"speed {request.speed:g} is not within {SLOWEST:g} to {FASTEST:g}", fault="speed")
        style = self._style(request.voice)
        pieces = [
            SegmentKey(made_by=self._made_by, phonemes=piece, voice=request.voice, speed=request.speed)
            for piece in split_phonemes(self._phonemes(request))
        ]
        if not pieces:
            raise SpeechFailure("there is nothing to speak: the text gives no phonemes", fault="no-phonemes")
        return Answer(self, pieces, style)

    def order(
        self, piece: SegmentKey, style: "NDArray[np.float32]", *, due: float
    ) -> "tuple[Future[NDArray[np.float32]], Source]":
        """Have one piece spoken, or found; `due` in seconds on the clock."""
        order = SegmentRequest(phonemes=piece.phonemes, style=style, speed=piece.speed)

        def compute() -> "Future[NDArray[np.float32]]":
            future = self.pool.submit(order, load=order.load, due=due)
            future.add_done_callback(lambda done: self._learn(order, done))
            return future

        return self._cache.get(piece, compute)

    def audio_seconds(self, piece: SegmentKey) -> float:
        """How long a piece will sound, as far as has been learnt; 0 before the first."""
        with self._speech_lock:
            return self._speech.predict(len(piece.phonemes) / piece.speed)

    def now(self) -> float:
        """Seconds on the clock."""
        return self._clock.now_ns() / 1e9

    def warm_up(self, voice: str, *, go_on: Callable[[], bool] = lambda: True) -> None:
        """Speak three pieces on every session, so that each knows its costs and has its memory.

        No piece is begun once `go_on` returns False.
        """
        style = self._style(voice)
        orders = [SegmentRequest(phonemes=self._known(text), style=style, speed=1.0) for text in WARM_UP]
        self.pool.warm_up([(order, order.load) for order in orders], go_on=go_on)

    def close(self) -> None:
        """End the sessions' threads."""
        self.pool.close()

    def _learn(self, order: SegmentRequest, done: "Future[NDArray[np.float32]]") -> None:
        if not done.cancelled() and done.exception() is None:
            with self._speech_lock:
                self._speech.observe(order.load, len(done.result()) / SAMPLE_RATE)

    def _phonemes(self, request: SpeechRequest) -> str:
        if request.is_phonemes:
            return self._known(request.text)
        language = request.language or spoken_language(request.voice)
        try:
            with self._phonemiser, self._stages.stage("phonemise"):
                phonemes: str = self._front.tokenizer.phonemize(request.text, language)
        except RuntimeError as error:
            raise SpeechFailure(" ".join(str(error).split()), fault="language") from error
        return phonemes

    def _known(self, phonemes: str) -> str:
        """What the vocabulary has of it, and the spaces."""
        vocabulary = self._front.tokenizer.vocab
        return "".join(each for each in " ".join(phonemes.split()) if each in vocabulary)

    def _style(self, voice: str) -> "NDArray[np.float32]":
        """A voice, or the mean of several joined by "+". SpeechFailure where there is none of a name."""
        import numpy as np

        names = voice.split(BLEND)
        if unknown := [name for name in names if name not in self._voices]:
            raise SpeechFailure(f"there is no voice {unknown[0][:80]!r}", fault="voice")
        with self._phonemiser:  # the voices file is one open archive
            for name in names:
                if name not in self._styles:
                    self._styles[name] = np.asarray(self._front.get_voice_style(name), dtype=np.float32)
        return blended([self._styles[name] for name in names])


class _Session:
    """One `Kokoro` as the pool runs it."""

    def __init__(self, kokoro: Any) -> None:  # noqa: ANN401 - untyped library
        self._kokoro = kokoro

    def __call__(self, order: SegmentRequest) -> "NDArray[np.float32]":
        """A piece's audio, trimmed, without a pause. Nobody may write to it: it may be in the cache."""
        import numpy as np

        # Pauses within a piece are the model's own, as in `create_stream`; those between pieces are the answer's.
        audio, _ = self._kokoro.create(
            order.phonemes, order.style, order.speed, is_phonemes=True, sentence_pause=0.0, clause_pause=0.0
        )
        # A copy: what trimming gives is a view that keeps the untrimmed audio alive.
        kept: NDArray[np.float32] = np.array(audio, dtype=np.float32)
        kept.flags.writeable = False
        return kept


KEY_BYTES = 400
"""What a key and its place in the cache take beside their text."""


def _size_of(key: SegmentKey, audio: "NDArray[np.float32]") -> int:
    return int(audio.nbytes) + 4 * len(key.phonemes) + KEY_BYTES


def check_package() -> None:
    """EngineRefusal where the installed kokoro-onnx cannot speak pieces."""
    try:
        from kokoro_onnx.chunker import pause_after
    except ImportError as error:
        raise EngineRefusal("speaking in pieces needs kokoro-onnx 0.6 or newer in this environment") from error
    del pause_after
