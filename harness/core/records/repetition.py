"""What was observed: launches, repetitions of stamped chunks, blocks with their canary. All else is derived."""

from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """Why a repetition was made. Only `MEASURED` ones carry figures of speed."""

    FIRST = "first"
    """The first inference of a launch."""
    WARMUP = "warmup"
    """Before measuring, one text class after the other from short to long; its high-water marks give rss_peak."""
    MEASURED = "measured"
    """In a block; of a load, what was to begin within its window."""
    COOLDOWN = "cooldown"
    """Of a load, what was to begin after its window: it keeps up the load while the window's last are answered."""


class OutcomeKind(StrEnum):
    """Whether a repetition may carry figures, and if not, what kind of failure it was."""

    VALID = "valid"
    INVALID_AUDIO = "invalid-audio"
    """Audio came, but fails a check (silent, clipped, too short, …); `Outcome.reason` says which."""
    ERROR = "error"
    """The engine raised, or the server answered with an error."""
    TIMEOUT = "timeout"
    UNFINISHED = "unfinished"
    """The load was over, and its answer was not complete when waiting for it ended."""
    CRASHED = "crashed"
    """The worker process ended."""
    BROKEN_PROMISE = "broken-promise"
    """Audio came, and the engine did not do what it says that it does: `Outcome.fault` names the promise."""
    REFUSED = "refused"
    """The arm cannot be loaded here: missing provider, rejected model, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Valid, or the kind of failure with its reason and the end of the worker's stderr."""

    kind: OutcomeKind = OutcomeKind.VALID
    reason: str = ""
    stderr_tail: str = ""
    fault: str = ""
    """The engine's short name for the failure, by which failures are counted: "refused", "http-503", "truncated", …"""

    @property
    def valid(self) -> bool:
        """Whether the figures of this repetition count."""
        return self.kind is OutcomeKind.VALID


VALID = Outcome()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMark:
    """One stretch of work, in ns since the repetition's intended start. Stages: phonemise, inference, postprocess."""

    stage: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkMark:
    """One chunk of decoded audio: when it had arrived whole, and how many frames (mono samples) it carries."""

    at_ns: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFeatures:
    """What the worker kept of the audio: enough to judge validity and to find the first audible moment.

    Levels are dBFS (0 = full-scale sine's peak amplitude 1.0, RMS of the samples); `clipped_share` is the ratio of
    frames at or above full scale; `onset_frame` is the first audible frame over all chunks joined, None with a reason.
    """

    sample_rate: int
    frames: int
    sha256: str
    finite: bool
    peak: float | None
    rms_dbfs: float | None
    clipped_share: float | None
    onset_frame: int | None
    onset_reason: str = ""
    channels: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident size in bytes; `peak` is the high-water mark since a reset just before; None where there is none."""

    rss_before: int | None = None
    rss_after: int | None = None
    peak: int | None = None
    peak_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What else ran meanwhile. None where the platform does not tell; `marks` names what exceeded its limit."""

    steal_share: float | None = None
    others_cpu_share: float | None = None
    involuntary_switches: int | None = None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounters:
    """What an engine that keeps accounts counted, in pieces of texts: `routes` are (session, pieces that it spoke).

    Every piece asked for of the cache is a hit, a miss (it was computed) or joined a computation under way.
    `cache_bytes` is what the cache held at the end, `cache_limit` its bound; both 0 where there is no cache.
    """

    routes: tuple[tuple[str, int], ...] = ()
    hits: int = 0
    misses: int = 0
    joined: int = 0
    evicted: int = 0
    cache_bytes: int = 0
    cache_limit: int = 0

    @property
    def asked(self) -> int:
        """Pieces that were asked for."""
        return self.hits + self.misses + self.joined

    def since(self, earlier: "EngineCounters") -> "EngineCounters":
        """What was counted after `earlier`, an account of the same engine; the cache as it is now."""
        before = [pieces for _, pieces in earlier.routes]
        return EngineCounters(
            routes=tuple((name, pieces - old) for (name, pieces), old in zip(self.routes, before, strict=True)),
            hits=self.hits - earlier.hits,
            misses=self.misses - earlier.misses,
            joined=self.joined - earlier.joined,
            evicted=self.evicted - earlier.evicted,
            cache_bytes=self.cache_bytes,
            cache_limit=self.cache_limit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One timed synthesis. Stamps count from its intended start; `end_ns`: the last of it had come, or it failed."""

    scenario_id: str
    launch: int
    block: int
    position: int
    phase: Phase
    variant: int
    characters: int
    started_at: float
    end_ns: int
    chunks: tuple[ChunkMark, ...] = ()
    stages: tuple[StageMark, ...] = ()
    first_byte_ns: int | None = None
    cpu_ns: int | None = None
    memory: Memory = field(default_factory=Memory)
    disturbance: Disturbance = field(default_factory=Disturbance)
    audio: AudioFeatures | None = None
    outcome: Outcome = VALID
    lag_ns: int | None = None
    """How much later than it could have a client of many requests sent this one; None where they come one by one."""
    account: EngineCounters | None = None
    """What the engine counted meanwhile, where it keeps accounts; of texts asked for at once, over all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPart:
    """One part of starting an engine: interpreter, import, session, voices, phonemiser or first_inference."""

    name: str
    ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What a loaded engine says of itself: the providers that ONNX Runtime really gave it, versions, options."""

    providers: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    sample_rate: int = 0
    python: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start of a worker for an arm. `page_cache` is "warm", "cold" or "unknown: <why>"."""

    arm_id: str
    launch: int
    started_at: float
    page_cache: str
    parts: tuple[LoadPart, ...] = ()
    rss_loaded: int | None = None
    facts: EngineFacts = field(default_factory=EngineFacts)
    dedicated: bool = False
    """Made for a load scenario alone, and ended after its first inference."""
    outcome: Outcome = VALID


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Two fixed pieces of work that belong to the harness: how fast the machine was in this block."""

    numpy_ns: int | None
    graph_ns: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadNote:
    """What a load shows beside its requests.

    `timer_lag` says how late the client's own timer came, as (lateness in 0.1 ms, how often) in ascending order.
    `memory` and `server_cpu_ns` are those of the server's process tree over the whole load, where it is known.
    """

    timer_lag: tuple[tuple[int, int], ...] = ()
    memory: Memory = field(default_factory=Memory)
    server_cpu_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFigures:
    """What a server says of itself at its /status: every number there by its path, or the reason why there is none."""

    figures: tuple[tuple[str, float], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One round of every scenario, in an order drawn anew, or that of the block before turned round.

    `wall_ns` runs from its first request to its last answer.
    Where the workers of a launch are not all there at once, `group` counts the groups of arms that take turns, and a
    block is a round of its group's scenarios. A block with a `load` is one scenario's, and `started_at` and `wall_ns`
    are its window. Where two arms spoke each text at the same time, `slice_ns` is how long each worked at most before
    it was the other's turn; 0 where they spoke one after the other, and `whole` says why where slices were asked for.
    A block in slices with such a reason is the one that gave it: its figures, and those of earlier ones in slices, do
    not count.
    """

    block: int
    launch: int
    order: tuple[str, ...]
    started_at: float
    wall_ns: int
    canary: Canary
    load: LoadNote | None = None
    servers: tuple[tuple[str, ServerFigures], ...] = ()
    """(Arm id, what its server says after the block) of every arm that is a server."""
    group: int = 0
    slice_ns: int = 0
    whole: str = ""
