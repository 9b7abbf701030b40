"""A synthesizer without a model, and a server of it on a real socket."""

import contextlib
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.core.clock import SystemClock
from harness.core.records.repetition import EngineFacts
from harness.engines.pooled.cache import CacheSettings
from harness.engines.pooled.engine import Opened
from harness.engines.pooled.synthesizer import Synthesizer
from harness.engines.protocol import Stages
from harness.server.reference.process import bind, make_server
from harness.server.reference.service import Service
from harness.server.reference.settings import Settings

PATIENCE = 240.0
FRAMES_PER_PHONEME = 1_200
VOICES = ("af_heart", "am_puck")
MARKS = " .,!?"


@dataclass
class Tones:
    """Stands in for `Kokoro`: letters are their own phonemes, and every piece is a tone of its own.

    `go_on` closed holds every synthesis; `fail_on` makes a piece that contains it fail; `pace` is s per phoneme.
    """

    pace: float = 0.0
    fail_on: str = "\0"
    go_on: threading.Event = field(default_factory=threading.Event)
    spoken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.go_on.set()
        vocab = dict.fromkeys("abcdefghijklmnopqrstuvwxyz0123456789" + MARKS, 1)
        self.tokenizer = SimpleNamespace(vocab=vocab, phonemize=self.phonemize)

    def phonemize(self, text: str, language: str) -> str:
        if language not in ("en-us", "en-gb"):
            raise RuntimeError(f'language "{language}" is not supported')
        found = "".join(each for each in text.lower() if each in self.tokenizer.vocab)
        return found if any(each not in MARKS for each in found) else ""

    def get_voices(self) -> list[str]:
        return list(VOICES)

    def get_voice_style(self, name: str) -> NDArray[np.float32]:
        return np.full((510, 1, 256), 0.3 if name == VOICES[0] else 0.2, dtype=np.float32)

    def create(self, phonemes: str, style: NDArray[np.float32], speed: float, **options: Any) -> tuple[Any, int]:
        assert options == {"is_phonemes": True, "sentence_pause": 0.0, "clause_pause": 0.0}
        self.spoken.append(phonemes)
        assert self.go_on.wait(PATIENCE)
        time.sleep(self.pace * len(phonemes) / speed)
        if self.fail_on in phonemes:
            raise ValueError("the model has failed")
        return tone(phonemes, float(style.flat[0]), speed), 24_000


def tone(phonemes: str, level: float = 0.3, speed: float = 1.0) -> NDArray[np.float32]:
    """What a piece sounds like."""
    frames = round(FRAMES_PER_PHONEME * len(phonemes) / speed)
    level = float(np.float32(level))
    pitch = 200 + zlib.crc32(phonemes.encode()) % 2_000
    sound: NDArray[np.float32] = (level * np.sin(2 * np.pi * pitch / 24_000 * np.arange(frames))).astype(np.float32)
    return sound


MakeSynthesizer = Callable[..., Synthesizer]


@pytest.fixture
def synthesizer_of() -> Iterator[MakeSynthesizer]:
    made: list[Synthesizer] = []

    def make(*voices: Tones, cache_bytes: int = 0) -> Synthesizer:
        clock = SystemClock()
        sessions = [(f"tones:{number}", each) for number, each in enumerate(voices)]
        made.append(
            Synthesizer(
                sessions,
                clock=clock,
                stages=Stages(clock),
                cache=CacheSettings(limit=cache_bytes, made_by="tones"),
            )
        )
        return made[-1]

    yield make
    for synthesizer in made:
        synthesizer.close()


@dataclass(frozen=True)
class Served:
    """A server that is up."""

    url: str
    service: Service
    stop: Callable[[], None]

    @property
    def address(self) -> tuple[str, int]:
        parts = httpx.URL(self.url)
        return parts.host, parts.port or 80

    def report(self, *, requests: int) -> dict[str, Any]:
        """The statistics, once so many requests are in them: an answer is counted just after its last byte went out."""

        def counted() -> dict[str, Any]:
            return self.service.statistics.report()

        self.until(lambda: sum(counted()["requests"].values()) >= requests)
        return counted()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the server has come to something."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "the server did not come to it"
            time.sleep(0.005)


Serve = Callable[..., AbstractContextManager[Served]]


@contextlib.contextmanager
def serving(service: Service) -> Iterator[Served]:
    listening = bind("127.0.0.1", 0)
    server = make_server(service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()

    def stop() -> None:
        server.should_exit = True

    try:
        yield Served(url=f"http://127.0.0.1:{listening.getsockname()[1]}", service=service, stop=stop)
    finally:
        stop()
        thread.join(PATIENCE)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture
def serve(synthesizer_of: MakeSynthesizer) -> Serve:
    """A warm server of tones: `serve(Tones(), cache_bytes=…, concurrency=…)`."""

    @contextlib.contextmanager
    def make(*voices: Tones, cache_bytes: int = 0, **settings: Any) -> Iterator[Served]:
        def open_synthesizer(announce: object) -> Opened:
            del announce
            synthesizer = synthesizer_of(*(voices or (Tones(),)), cache_bytes=cache_bytes)
            facts = EngineFacts(providers=("TonesProvider",), sample_rate=24_000)
            return Opened(synthesizer=synthesizer, facts=facts, close=synthesizer.close)

        service = Service(Settings(**settings), open_synthesizer=open_synthesizer, clock=SystemClock())
        with serving(service) as served:
            served.until(lambda: service.state != "starting")
            yield served

    return make


def pcm(audio: NDArray[np.float32]) -> bytes:
    return np.round(audio * 32767).astype("<i2").tobytes()


def connect(served: Served) -> socket.socket:
    return socket.create_connection(served.address, timeout=PATIENCE)
