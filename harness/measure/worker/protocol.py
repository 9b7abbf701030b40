"""What a conductor and a worker say to each other: one JSON object a line, over the worker's standard streams.

Orders and answers are dataclasses. `harness.core.codec` writes and reads both of them on both sides, so a field arrives
with the type that it was sent with, or the message is refused with the field's name.
"""

import json
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from harness.core.codec import CodecError, decode, encode
from harness.core.records.repetition import Canary, Launch, LoadNote, Phase, Repetition, ServerFigures
from harness.core.records.scenario import Traffic, Utterance
from harness.engines.protocol import EngineOrder

PROTOCOL = 1
"""Version of these messages. A worker of another version is refused. History: 1, the first."""


PageCache: TypeAlias = Literal["warm", "cold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOrder:
    """Start an engine, with its model file in the page cache ("warm") or evicted from it ("cold")."""

    arm_id: str
    launch: int
    engine: EngineOrder
    page_cache: PageCache = "warm"
    dedicated: bool = False
    slowdown: float = 0.0
    speak_first: bool = True
    """Whether the start ends with a first inference; else the first order to speak is the first of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakOrder:
    """Synthesise one text and say how it went. `band_*` are plausible seconds of audio per character."""

    scenario_id: str
    launch: int
    block: int
    position: int
    phase: Phase
    variant: int
    text: str
    voice: str
    speed: float = 1.0
    language: str = "en-us"
    is_phonemes: bool = False
    stream: bool = False
    band_low: float = 0.0
    band_high: float = 1e9
    original_seconds: float | None = None
    audio_path: str = ""

    @property
    def text_summary(self) -> str:
        """The text in a message."""
        return f"{len(self.text)} characters ({self.scenario_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A text of a crowd. `band_*` are plausible seconds of audio per character at speed 1."""

    text_class: str
    variant: int
    text: str
    language: str
    band_low: float
    band_high: float

    @property
    def utterance(self) -> Utterance:
        """The text itself."""
        return Utterance(text_class=self.text_class, variant=self.variant, text=self.text, language=self.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrentOrder:
    """Ask a server for many texts: all at once, or as the load `traffic` says.

    With `compare` every answer is held against the one that is given alone.
    """

    scenario_id: str
    launch: int
    block: int
    phase: Phase
    texts: tuple[Spoken, ...]
    voice: str
    speed: float = 1.0
    seed: int = 0
    traffic: Traffic | None = None
    compare: bool = False

    @property
    def summary(self) -> str:
        """What is asked, in a message."""
        return f"a load ({self.scenario_id})" if self.traffic else f"{len(self.texts)} texts at once"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOrder:
    """Ask the arm's server what it says of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryOrder:
    """Do the two fixed pieces of work."""

    rounds: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """A worker's first line. `halts` says that its clock stands still while it is halted."""

    protocol: int
    pid: int
    python: str
    halts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrentAnswer:
    """Every request of a crowd, and what was seen beside them. `began_at` is in seconds since the epoch."""

    repetitions: tuple[Repetition, ...] = ()
    began_at: float = 0.0
    note: LoadNote = field(default_factory=LoadNote)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: exactly one of the fields is set."""

    launch: Launch | None = None
    repetition: Repetition | None = None
    crowd: ConcurrentAnswer | None = None
    server: ServerFigures | None = None
    canary: Canary | None = None
    greeting: Greeting | None = None
    error: str = ""


Order: TypeAlias = LoadOrder | SpeakOrder | ConcurrentOrder | StatusOrder | CanaryOrder

ORDERS: dict[str, type[LoadOrder | SpeakOrder | ConcurrentOrder | StatusOrder | CanaryOrder]] = {
    "load": LoadOrder,
    "speak": SpeakOrder,
    "crowd": ConcurrentOrder,
    "status": StatusOrder,
    "canary": CanaryOrder,
}


def write_order(order: Order) -> bytes:
    """One line. What is at its default is left out, so that an older worker takes what it could always do.

    ValueError names the field that holds something else than it is declared to.
    """
    name = next(name for name, kind in ORDERS.items() if isinstance(order, kind))
    return _line({"order": name, **encode(order, skip_defaults=True)})


def read_order(line: bytes) -> Order:
    """Read a line. ValueError where it is no order of this protocol; it names the field that is wrong."""
    plain = _object(line, what="an order")
    name = plain.pop("order", None)
    if not isinstance(name, str) or name not in ORDERS:
        raise _refusal("an order", f"order: {name!r} is not one of {', '.join(ORDERS)}", line)
    try:
        return decode(ORDERS[name], plain)
    except CodecError as error:
        raise _refusal("an order", f"{name}.{error}", line) from error


def write_answer(answer: Answer) -> bytes:
    """One line; the parts that are unset are left out. ValueError names the field that holds something undeclared."""
    return _line({name: value for name, value in encode(answer).items() if value})


def read_answer(line: bytes) -> Answer:
    """Read a line, without fields that only a newer worker has. ValueError where it is no answer of this protocol."""
    try:
        return decode(Answer, _object(line, what="an answer"), ignore_unknown=True)
    except CodecError as error:
        raise _refusal("an answer", str(error), line) from error


def _line(plain: dict[str, object]) -> bytes:
    return json.dumps(plain, allow_nan=False).encode() + b"\n"


def _object(line: bytes, *, what: str) -> dict[str, object]:
    try:
        plain = json.loads(line)
    except ValueError as error:
        raise _refusal(what, f"{error}", line) from error
    if not isinstance(plain, dict):
        raise _refusal(what, "it is no JSON object", line)
    return plain


def _refusal(what: str, reason: str, line: bytes) -> ValueError:
    return ValueError(f"not {what} of protocol {PROTOCOL}: {reason}: {line[:200]!r}")
