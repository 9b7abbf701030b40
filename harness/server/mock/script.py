"""What a scripted server does: a script of answers, each a list of timed steps. Built in, or read from a file.

A step is a table with one key: `wait_ms` or `wait_share`, `audio_ms` or `audio_share` (shares are of the text's natural
length), `silence_ms`, `header` (a WAV's, now), `text` or `hex` (raw body), `end` ("close", "reset" or "hang"), or
`steps` with `repeat` (0 is for ever). Waits add up from the moment at which the request had come, so what is late never
makes the next later.
"""

from dataclasses import dataclass
from enum import StrEnum


class End(StrEnum):
    """How an answer ends that does not end well."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


class Framing(StrEnum):
    """How a body says where it ends."""

    CHUNKED = "chunked"
    LENGTH = "length"
    UNTIL_CLOSE = "until-close"


class WhenFull(StrEnum):
    """What becomes of a request that comes while a server with a capacity has all its places taken."""

    WAIT = "wait"
    """It waits for its turn, in the order in which requests came."""
    REFUSE = "refuse"
    """It is answered with status 503 at once."""


class Voice(StrEnum):
    """Whose text is heard."""

    OWN = "own"
    FIRST = "first"
    """The first text that was ever asked for."""
    OTHER = "other"
    """That of another request in progress, where there is one."""
    MIXED = "mixed"
    """Both at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; exactly one field is set. Times in ms; `steps` are done `repeat` times, 0 being for ever."""

    wait_ms: float | None = None
    wait_share: float | None = None
    audio_ms: float | None = None
    audio_share: float | None = None
    silence_ms: float | None = None
    header: bool | None = None
    body: bytes | None = None
    end: End | None = None
    steps: "tuple[Step, ...] | None" = None
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. `content_type` "" is the right one; `coalesce` holds pieces back until so many bytes are there.

    `sample_rate` (Hz) and `channels` are what the audio and its header have. A request that does not ask for streaming
    gets everything at the end, unless the answer is `unasked`, and streams all the same.
    """

    steps: tuple[Step, ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = ""
    framing: Framing = Framing.CHUNKED
    missing: int = 0
    """Bytes that a Content-Length announces and that never come."""
    gzip: bool = False
    coalesce: int = 0
    sample_rate: int = 24_000
    channels: int = 1
    wav_size: int = -1
    """The bytes of audio that a WAV's header says, right or wrong; -1: the right number, or none in a stream."""
    wav_pieces: bool = False
    """Whether each piece of audio is a WAV of its own, with its own header and the right size."""
    voice: Voice = Voice.OWN
    unasked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """The whole server stands still, `for_ms` long, `at_ms` after the first request had come."""

    at_ms: float
    for_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A server's behaviour. Request n gets answer n; then the last for ever, or all again in a `cycle`.

    `dialect` is "openai", "raycast" or "both"; `cached` answers a request that it has seen before without waits. At
    most `capacity` requests are answered at once (0: any number), and `when_full` says what becomes of the others. A
    place is free again when its answer has ended, whether its client is still there or not. `refuses` are fields,
    separated by commas: a request that has one of them is answered with 422. Each answer leaves
    `leak_bytes` in the server's memory.
    """

    name: str
    meaning: str = ""
    answers: tuple[Answer, ...]
    cycle: bool = False
    dialect: str = "both"
    cached: bool = False
    refuses: str = ""
    freeze: Freeze | None = None
    capacity: int = 0
    when_full: WhenFull = WhenFull.WAIT
    leak_bytes: int = 0

    def answer(self, number: int) -> Answer:
        """The answer to request `number`, from 0."""
        count = len(self.answers)
        return self.answers[number % count if self.cycle else min(number, count - 1)]
