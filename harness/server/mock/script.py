"""Scripts of a mock server: lists of answers, each a list of timed steps. Built in, or read from a file.

A step is a table with one key: `wait_ms` or `wait_share`, `audio_ms` or `audio_share` (shares are of the text's natural
length), `silence_ms`, `header` (a WAV's, now), `text` or `hex` (raw body), `end` ("close", "reset" or "hang"), or
`steps` with `repeat` (0 is for ever). Waits add up from the arrival of the request, so a late step does not
delay the next.
"""

from dataclasses import dataclass
from enum import StrEnum


class End(StrEnum):
    """How an answer ends early."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


class Framing(StrEnum):
    """How the end of a body is marked."""

    CHUNKED = "chunked"
    LENGTH = "length"
    UNTIL_CLOSE = "until-close"


class WhenFull(StrEnum):
    """What happens to a request that arrives while all places of a server with a capacity are taken."""

    WAIT = "wait"
    """It waits in the order of arrival."""
    REFUSE = "refuse"
    """It is answered with status 503 at once."""


class Voice(StrEnum):
    """Which text the audio contains."""

    OWN = "own"
    FIRST = "first"
    """The first requested text."""
    OTHER = "other"
    """The text of another request in progress, if there is one."""
    MIXED = "mixed"
    """Both at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; exactly one field is set. Times in ms; `steps` run `repeat` times, without end if 0."""

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
    """One answer. `content_type` "" is the correct one. `coalesce` holds chunks back until that many bytes are ready.

    `sample_rate` (Hz) and `channels` are those of the audio and its header. A request without streaming gets everything
    at the end, unless the answer is `unasked`, which always streams.
    """

    steps: tuple[Step, ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = ""
    framing: Framing = Framing.CHUNKED
    missing: int = 0
    """Bytes that Content-Length announces but that are not sent."""
    gzip: bool = False
    coalesce: int = 0
    sample_rate: int = 24_000
    channels: int = 1
    wav_size: int = -1
    """The bytes of audio in a WAV's header, right or wrong. -1 is the right number, or unknown in a stream."""
    wav_pieces: bool = False
    """Whether each chunk of audio is a separate WAV with its own header and the right size."""
    voice: Voice = Voice.OWN
    unasked: bool = False
    work: int = 0
    """Rounds of work of equal size before the first step, each about 1 ms of CPU time. Waits count from their end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """The whole server freezes for `for_ms`, starting `at_ms` after the arrival of the first request."""

    at_ms: float
    for_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A server's behaviour. Request n gets answer n; later requests get the last answer, or all again in a `cycle`.

    `dialect` is "openai", "raycast" or "both"; `cached` answers a repeated request without waits. At most
    `capacity` requests are answered at once (0: any number), and `when_full` says what happens to the others. A place
    is free again when its answer has ended, even if the client has disconnected. `refuses` are fields, separated by
    commas: a request with one of them gets status 422. Each answer leaks `leak_bytes` of the server's memory.
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
