"""What a conductor and a worker say to each other: one JSON object a line, over the worker's standard streams.

An order's fields are JSON's own types, so that a worker needs the standard library alone to read them; an answer's are
records, read back and checked by msgspec on the conductor's side.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias, TypedDict

from harness.records.repetition import Canary, Launch, LoadNote, Repetition, ServerFigures

PROTOCOL = 1
"""Version of these messages. A worker of another version is refused. History: 1, the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOrder:
    """Start an engine. The first field group is `EngineOrder`'s; `page_cache` is "warm" or "cold"."""

    arm_id: str
    launch: int
    engine: dict[str, Any]
    page_cache: str = "warm"
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
    phase: str
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


class Spoken(TypedDict):
    """A text of a crowd. `band_*` are plausible seconds of audio per character at speed 1."""

    text_class: str
    variant: int
    text: str
    language: str
    band_low: float
    band_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdOrder:
    """Ask a server for many texts: all at once, or as the load `traffic` says, whose fields it holds.

    With `compare` every answer is held against the one that is given alone.
    """

    scenario_id: str
    launch: int
    block: int
    phase: str
    texts: list[Spoken]
    voice: str
    speed: float = 1.0
    seed: int = 0
    traffic: dict[str, Any] | None = None
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
class CrowdAnswer:
    """Every request of a crowd, and what was seen beside them. `began_at` is in seconds since the epoch."""

    repetitions: tuple[Repetition, ...] = ()
    began_at: float = 0.0
    note: LoadNote = field(default_factory=LoadNote)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: exactly one of the fields is set."""

    launch: Launch | None = None
    repetition: Repetition | None = None
    crowd: CrowdAnswer | None = None
    server: ServerFigures | None = None
    canary: Canary | None = None
    greeting: Greeting | None = None
    error: str = ""


Order: TypeAlias = LoadOrder | SpeakOrder | CrowdOrder | StatusOrder | CanaryOrder

ORDERS: dict[str, type[LoadOrder | SpeakOrder | CrowdOrder | StatusOrder | CanaryOrder]] = {
    "load": LoadOrder,
    "speak": SpeakOrder,
    "crowd": CrowdOrder,
    "status": StatusOrder,
    "canary": CanaryOrder,
}


def write_order(order: Order) -> bytes:
    """One line. What is at its default is left out, so that an older worker takes what it could always do."""
    name = next(name for name, kind in ORDERS.items() if isinstance(order, kind))
    defaults = {each.name: each.default for each in fields(order)}
    said = {field: value for field, value in asdict(order).items() if value != defaults[field]}
    return json.dumps({"order": name, **said}).encode() + b"\n"


def read_order(line: bytes) -> Order:
    """Read a line. ValueError where it is no order of this protocol."""
    try:
        fields = json.loads(line)
        kind = ORDERS[fields.pop("order")]
        return kind(**fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"not an order of protocol {PROTOCOL}: {reason}: {line[:200]!r}") from error


def write_answer(answer: Answer) -> bytes:
    """One line; what is unset is left out."""
    said = {name: value for name, value in asdict(answer).items() if value}
    return json.dumps(said).encode() + b"\n"


def read_answer(line: bytes) -> Answer:
    """Read a line. ValueError where it is no answer of this protocol."""
    import msgspec

    try:
        return msgspec.json.decode(line, type=Answer)
    except msgspec.DecodeError as error:
        raise ValueError(f"not an answer of protocol {PROTOCOL}: {error}: {line[:200]!r}") from error
