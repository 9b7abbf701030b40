"""espeak-ng as an engine, with the library and data of espeakng-loader, on which kokoro-onnx depends.

Its speech is intelligible, takes milliseconds and is streamed. It needs no model, and shows that the protocol suits an
engine that shares nothing with Kokoro. espeak-ng has global state, so there is one in each worker process.
"""

import ctypes
import platform
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from harness.core.records.repetition import EngineFacts
from harness.engines.builds import installed_versions
from harness.engines.protocol import ARRIVAL, EngineOrder, Stages
from harness.engines.speech import EngineRefusal, SpeechFailure, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

CHUNK_MS = 100
"""The length of a chunk at most, except for a frame of rounding."""
WORDS_PER_MINUTE = 175
"""espeak-ng's default rate, which is speed 1."""
SLOWEST, FASTEST = 80, 450
"""The words per minute that espeak-ng accepts."""

# From speak_lib.h, where these values have not changed since espeak 1.
SYNCHRONOUS = 2
DONT_EXIT = 0x8000
CHARACTERS_ARE_UTF8 = 1
POSITION_CHARACTER = 1
RATE = 1
OK = 0
GO_ON, STOP = 0, 1

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
Chunk = tuple[int, "NDArray[np.float32]"]
"""The time of arrival on the clock (ns), and the audio."""


class Library:
    """The loaded library, one for each process. It is called from one thread only."""

    def __init__(self, path: str, data: str) -> None:
        self._library: Any = ctypes.CDLL(path)
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.c_void_p, ctypes.c_void_p,
        )  # fmt: skip
        self._library.espeak_SetSynthCallback.argtypes = (Callback,)
        self._library.espeak_Info.restype = ctypes.c_char_p
        self.sample_rate: int = self._library.espeak_Initialize(SYNCHRONOUS, CHUNK_MS, data.encode(), DONT_EXIT)
        if self.sample_rate <= 0:
            raise EngineRefusal(f"espeak-ng cannot read its data in {data}")
        self.version = self._library.espeak_Info(None).decode().split()[0]

    def set_voice(self, name: str) -> bool:
        """Use a voice for all later synthesis; False if there is no such voice."""
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
        self._library.espeak_Terminate()


class EspeakEngine:
    """One voice. Synthesis runs in a separate thread, so that a chunk is yielded while the next one is made."""

    def __init__(self, library: Library, facts: EngineFacts, *, voice: str, clock: "Clock", stages: Stages) -> None:
        self._library = library
        self.facts = facts
        self._voice = voice
        self._clock = clock
        self._stages = stages
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="espeak-ng")

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """Chunks of at most `CHUNK_MS` as espeak-ng delivers them; without streaming, one chunk."""
        if request.is_phonemes:
            raise SpeechFailure("espeak-ng reads text, not Kokoro's phonemes", fault="phonemes")
        if request.voice != self._voice:
            self._use(request.voice)
        chunks: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        unwanted: list[bool] = []
        done = self._thread.submit(self._speak, request, chunks, unwanted)
        try:
            if request.stream:
                yield from self._stamped(chunks)
            else:
                yield from _joined(chunks)
            if not done.result():
                raise SpeechFailure("espeak-ng could not speak the text", fault="synthesis")
        finally:
            # The next request would wait for a synthesis that goes on.
            unwanted.append(True)
            done.exception()  # waits; what was raised has been raised by `result`

    def close(self) -> None:
        """End the thread and release the library."""
        self._thread.shutdown()
        self._library.close()

    def _use(self, voice: str) -> None:
        if not self._library.set_voice(voice):
            self._library.set_voice(self._voice)
            raise SpeechFailure(f"espeak-ng has no voice {voice!r}", fault="voice")
        self._voice = voice

    def _speak(self, request: SpeechRequest, chunks: "queue.SimpleQueue[Chunk | None]", unwanted: list[bool]) -> bool:
        """In the thread: put every chunk into the queue as it arrives, then None."""
        import numpy as np

        def receive(samples: Any, count: int, _events: Any) -> int:  # noqa: ANN401 - pointers of ctypes
            if count and samples:
                at = self._clock.now_ns()
                sound = np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / np.float32(32_768)
                chunks.put((at, sound))
            return STOP if unwanted else GO_ON

        try:
            rate = round(min(FASTEST, max(SLOWEST, WORDS_PER_MINUTE * request.speed)))
            return self._library.speak(request.text, rate=rate, receive=Callback(receive))
        finally:
            chunks.put(None)

    def _stamped(self, chunks: "queue.SimpleQueue[Chunk | None]") -> Iterator["NDArray[np.float32]"]:
        while (chunk := chunks.get()) is not None:
            at, sound = chunk
            self._stages.moment(ARRIVAL, at)
            yield sound


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> EspeakEngine:
    """Load the library and the voice. EngineRefusal if one is missing, or an option belongs to another engine."""
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
        if not library.set_voice(order.voice):
            library.close()
            raise EngineRefusal(
                f"espeak-ng has no voice {order.voice!r}; its voices are languages, such as en-us or de"
            )
    return EspeakEngine(library, _facts(library), voice=order.voice, clock=clock, stages=stages)


def _joined(chunks: "queue.SimpleQueue[Chunk | None]") -> Iterator["NDArray[np.float32]"]:
    """All of the audio as one chunk; no chunk without audio."""
    import numpy as np

    sounds = [sound for _, sound in iter(chunks.get, None)]
    if sounds:
        yield np.concatenate(sounds)


def _facts(library: Library) -> EngineFacts:
    return EngineFacts(
        packages=(("espeak-ng", library.version), *installed_versions(("espeakng-loader", "numpy"))),
        sample_rate=library.sample_rate,
        python=platform.python_version(),
    )
