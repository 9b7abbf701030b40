"""espeak-ng as an engine: the library and data of espeakng-loader, which kokoro-onnx brings.

Its synthesis is intelligible, takes milliseconds and comes in pieces. It needs no model, and proves that the protocol
holds for an engine that shares nothing with Kokoro. espeak-ng's state is global to a process: a worker is a process.
"""

import ctypes
import platform
import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineFacts
from harness.engines.builds import installed_versions
from harness.engines.protocol import ARRIVAL, EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

PIECE_MS = 100
"""How much sound a piece holds at most, but for a frame of rounding."""
WORDS_PER_MINUTE = 175
"""espeak-ng's own rate, at speed 1."""
SLOWEST, FASTEST = 80, 450
"""Words per minute between which espeak-ng keeps to the rate."""

# From speak_lib.h, which has kept these values since espeak 1.
SYNCHRONOUS = 2
DONT_EXIT = 0x8000
CHARACTERS_ARE_UTF8 = 1
POSITION_CHARACTER = 1
RATE = 1
OK = 0
GO_ON, STOP = 0, 1

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
Piece = tuple[int, "NDArray[np.float32]"]
"""When it came, in the clock's ns, and its sound."""


class Library:
    """espeak-ng, loaded. One in a process; every call comes from one thread."""

    def __init__(self, path: str, data: str) -> None:
        self._library: Any = ctypes.CDLL(path)
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.c_void_p, ctypes.c_void_p,
        )  # fmt: skip
        self._library.espeak_SetSynthCallback.argtypes = (Callback,)
        self._library.espeak_Info.restype = ctypes.c_char_p
        self.sample_rate: int = self._library.espeak_Initialize(SYNCHRONOUS, PIECE_MS, data.encode(), DONT_EXIT)
        if self.sample_rate <= 0:
            raise EngineRefusal(f"espeak-ng cannot read its data in {data}")
        self.version = self._library.espeak_Info(None).decode().split()[0]

    def has_voice(self, name: str) -> bool:
        """Speak with a voice from now on; False where there is none of that name."""
        return bool(self._library.espeak_SetVoiceByName(name.encode()) == OK)

    def speak(self, text: str, *, rate: int, receive: "Callback") -> bool:  # type: ignore[valid-type]
        """Pass each chunk of audio to `receive` as it is made; return False if the text could not be synthesised."""
        spoken = text.encode()
        self._library.espeak_SetSynthCallback(receive)
        self._library.espeak_SetParameter(RATE, rate, 0)
        done = self._library.espeak_Synth(
            spoken, len(spoken) + 1, 0, POSITION_CHARACTER, 0, CHARACTERS_ARE_UTF8, None, None
        )
        return bool(done == OK)

    def close(self) -> None:
        """Let go of the data."""
        self._library.espeak_Terminate()


class EspeakEngine:
    """A voice. Synthesis runs in a thread of its own, so that a piece is had while the next is being made."""

    def __init__(self, library: Library, facts: EngineFacts, *, voice: str, clock: "Clock", stages: Stages) -> None:
        self._library = library
        self._facts = facts
        self._voice = voice
        self._clock = clock
        self._stages = stages
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="espeak-ng")

    @property
    def facts(self) -> EngineFacts:
        """The versions, and the sample rate that the library reported."""
        return self._facts

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Pieces as espeak-ng's callback delivers them, of at most `PIECE_MS`; one where no stream is asked for."""
        if request.is_phonemes:
            raise SpeechFailure("espeak-ng reads text, not Kokoro's phonemes", fault="phonemes")
        if request.voice != self._voice:
            self._use(request.voice)
        pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        unwanted: list[bool] = []
        done = self._thread.submit(self._speak, request, pieces, unwanted)
        try:
            if request.stream:
                yield from self._as_they_come(pieces)
            else:
                yield from _joined(pieces)
            if not done.result():
                raise SpeechFailure("espeak-ng could not speak the text", fault="synthesis")
        finally:
            # Whoever listens no longer must not leave a synthesis behind, which the next one would wait for.
            unwanted.append(True)
            _settle(done)

    def close(self) -> None:
        """Let go of the library."""
        self._thread.shutdown()
        self._library.close()

    def _use(self, voice: str) -> None:
        if not self._library.has_voice(voice):
            self._library.has_voice(self._voice)
            raise SpeechFailure(f"espeak-ng has no voice {voice!r}", fault="voice")
        self._voice = voice

    def _speak(self, request: SpeechRequest, pieces: "queue.SimpleQueue[Piece | None]", unwanted: list[bool]) -> bool:
        """In the thread: every piece goes into the queue as it comes, then None."""
        import numpy as np

        def receive(samples: Any, count: int, _events: Any) -> int:  # noqa: ANN401 - pointers of ctypes
            if count and samples:
                at = self._clock.now_ns()
                sound = np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / np.float32(32_768)
                pieces.put((at, sound))
            return STOP if unwanted else GO_ON

        try:
            rate = round(min(FASTEST, max(SLOWEST, WORDS_PER_MINUTE * request.speed)))
            return self._library.speak(request.text, rate=rate, receive=Callback(receive))
        finally:
            pieces.put(None)

    def _as_they_come(self, pieces: "queue.SimpleQueue[Piece | None]") -> Iterator["NDArray[np.float32]"]:
        while (piece := pieces.get()) is not None:
            at, sound = piece
            self._stages.moment(ARRIVAL, at)
            yield sound


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> EspeakEngine:
    """Load the library and the voice. EngineRefusal where one is missing, or an option is meant for another engine."""
    refused = [*order.session_options, *order.provider_options]
    if refused or order.threads or order.provider not in ("", "cpu"):
        raise EngineRefusal(f"espeak-ng has no {refused[0] if refused else 'threads or providers to choose from'}")
    with stages.stage("import"):
        try:
            import espeakng_loader
            import numpy  # noqa: ICN001, F401 - its import is a part of the start-up
        except ImportError as error:
            raise EngineRefusal(f"not installed in this environment: {error.name or error}") from error
    with stages.stage("session"):
        try:
            library = Library(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
        except OSError as error:
            raise EngineRefusal(f"espeak-ng's library cannot be loaded: {error}") from error
    with stages.stage("voices"):
        if not library.has_voice(order.voice):
            library.close()
            raise EngineRefusal(
                f"espeak-ng has no voice {order.voice!r}; its voices are languages, such as en-us or de"
            )
    return EspeakEngine(library, _facts(library), voice=order.voice, clock=clock, stages=stages)


def _joined(pieces: "queue.SimpleQueue[Piece | None]") -> Iterator["NDArray[np.float32]"]:
    """All of it as one chunk; none where there was no sound."""
    import numpy as np

    sounds = [sound for _, sound in iter(pieces.get, None)]
    if sounds:
        yield np.concatenate(sounds)


def _settle(done: "Future[bool]") -> None:
    """Wait for the synthesis to end; what it raised was raised where its result was asked for."""
    done.exception()


def _facts(library: Library) -> EngineFacts:
    return EngineFacts(
        packages=(("espeak-ng", library.version), *installed_versions(("espeakng-loader", "numpy"))),
        sample_rate=library.sample_rate,
        python=platform.python_version(),
    )
