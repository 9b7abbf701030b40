"""The messages between a conductor and a worker: one JSON object per line, over the worker's standard streams.

Orders and answers are dataclasses. `harness.core.codec` encodes and decodes them on both sides. A field that
arrives with another type than it is declared with causes a ValueError that names the field.
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
    """Whether loading ends with a first inference; else the first `SynthesisOrder` is the first inference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisOrder:
    """Synthesise one text and report the repetition. `band_*` are plausible seconds of audio per character."""

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
        """The text's length and scenario, for messages."""
        return f"{len(self.text)} characters ({self.scenario_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestText:
    """The text of a concurrent request. `band_*` are plausible seconds of audio per character at speed 1."""

    text_class: str
    variant: int
    text: str
    language: str
    band_low: float
    band_high: float

    @property
    def utterance(self) -> Utterance:
        """The text without its duration band."""
        return Utterance(text_class=self.text_class, variant=self.variant, text=self.text, language=self.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrentOrder:
    """Request many texts: all at once, or as the load that `traffic` describes.

    With `compare` every answer is compared with a solo answer to the same text.
    """

    scenario_id: str
    launch: int
    block: int
    phase: Phase
    texts: tuple[RequestText, ...]
    voice: str
    speed: float = 1.0
    seed: int = 0
    traffic: Traffic | None = None
    compare: bool = False

    @property
    def summary(self) -> str:
        """The order's content, for messages."""
        return f"a load ({self.scenario_id})" if self.traffic else f"{len(self.texts)} texts at once"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOrder:
    """Query the statistics that the arm's server reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryOrder:
    """Run the two fixed canary workloads."""

    rounds: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackOrder:
    """Track allocations with memray into a new file, "" for none; that of an earlier order is then complete.

    `site` is the folder in which the harness has memray.
    """

    path: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """A worker's first line. `halts` says that the worker can be paused: its clock stops while it is paused."""

    protocol: int
    pid: int
    python: str
    halts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrentAnswer:
    """All concurrent requests, with observations of the load. `began_at` is in seconds since the epoch."""

    repetitions: tuple[Repetition, ...] = ()
    began_at: float = 0.0
    note: LoadNote = field(default_factory=LoadNote)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: exactly one of the fields is set."""

    launch: Launch | None = None
    repetition: Repetition | None = None
    crowd: ConcurrentAnswer | None = None  # codespell:ignore crowd
    server: ServerFigures | None = None
    canary: Canary | None = None
    tracked: bool = False
    greeting: Greeting | None = None
    error: str = ""


Order: TypeAlias = LoadOrder | SynthesisOrder | ConcurrentOrder | StatusOrder | CanaryOrder | TrackOrder

ORDERS: dict[str, type[LoadOrder | SynthesisOrder | ConcurrentOrder | StatusOrder | CanaryOrder | TrackOrder]] = {
    "load": LoadOrder,
    "speak": SynthesisOrder,
    "crowd": ConcurrentOrder,  # codespell:ignore crowd
    "status": StatusOrder,
    "canary": CanaryOrder,
    "track": TrackOrder,
}


def write_order(order: Order) -> bytes:
    """Encode an order as one line. Default values are omitted, so that an older worker accepts the order.

    ValueError names a field whose value has another type than declared.
    """
    name = next(name for name, kind in ORDERS.items() if isinstance(order, kind))
    return _line({"order": name, **encode(order, skip_defaults=True)})


def read_order(line: bytes) -> Order:
    """Decode an order. Raises ValueError, which names the wrong field, if the line is no order of this protocol."""
    plain = _object(line, what="an order")
    name = plain.pop("order", None)
    if not isinstance(name, str) or name not in ORDERS:
        raise _refusal("an order", f"order: {name!r} is not one of {', '.join(ORDERS)}", line)
    try:
        return decode(ORDERS[name], plain)
    except CodecError as error:
        raise _refusal("an order", f"{name}.{error}", line) from error


def write_answer(answer: Answer) -> bytes:
    """Encode an answer as one line without unset parts. ValueError names a field with a value of a wrong type."""
    return _line({name: value for name, value in encode(answer).items() if value})


def read_answer(line: bytes) -> Answer:
    """Decode an answer; ignore fields of newer workers. Raises ValueError if it is no answer of this protocol."""
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
