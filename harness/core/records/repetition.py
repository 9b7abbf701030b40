"""Observations: launches, repetitions with stamped chunks, and blocks with their canary. All else is derived."""

from dataclasses import dataclass, field
from enum import StrEnum

from harness.core.records.git_package import GitPackage


class Phase(StrEnum):
    """The purpose of a repetition. Only `MEASURED` ones have values of speed."""

    FIRST = "first"
    """The first inference of a launch."""
    WARMUP = "warmup"
    """Before measuring, one text class after the other from short to long. Its peaks of memory give rss_peak."""
    MEASURED = "measured"
    """In a block; under a load, a request with its intended start within the window."""
    COOLDOWN = "cooldown"
    """Under a load, a request after the window. It keeps up the load while the window's last requests are answered."""


class OutcomeKind(StrEnum):
    """Whether a repetition is valid, or else the kind of its failure."""

    VALID = "valid"
    INVALID_AUDIO = "invalid-audio"
    """The audio fails a check (silent, clipped, too short, …); `Outcome.reason` states which."""
    ERROR = "error"
    """The engine raised, or the server answered with an error."""
    TIMEOUT = "timeout"
    UNFINISHED = "unfinished"
    """The answer was still incomplete when the client stopped waiting after the end of the load."""
    CRASHED = "crashed"
    """The worker process ended."""
    BROKEN_PROMISE = "broken-promise"
    """The audio is valid, but the engine violated an invariant; `Outcome.fault` names it."""
    REFUSED = "refused"
    """The arm cannot be loaded here: missing provider, rejected model, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Valid, or the kind of failure with its reason and the end of the worker's stderr."""

    kind: OutcomeKind = OutcomeKind.VALID
    reason: str = ""
    stderr_tail: str = ""
    fault: str = ""
    """The engine's short name of the failure, for counting failures: "refused", "http-503", "truncated", …"""

    @property
    def valid(self) -> bool:
        return self.kind is OutcomeKind.VALID


VALID = Outcome()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMark:
    """One period of work, in ns since the repetition's intended start. Stages: phonemise, inference, postprocess."""

    stage: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkMark:
    """One chunk of decoded audio: the time of its complete arrival, and its number of frames (mono samples)."""

    at_ns: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFeatures:
    """Features of the audio that the worker keeps, to check its validity and to find the first audible moment.

    Levels are RMS in dBFS (0 dBFS: amplitude 1.0). `clipped_share` is the ratio of frames at or above full scale.
    `onset_frame` is the first audible frame over all chunks joined; None with a reason.
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
    """Resident memory in bytes. `peak` is the maximum since a reset just before. None: unknown."""

    rss_before: int | None = None
    rss_after: int | None = None
    peak: int | None = None
    peak_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """Other activity during the repetition. None: the platform does not report it. `marks` names exceeded limits."""

    steal_share: float | None = None
    others_cpu_share: float | None = None
    involuntary_switches: int | None = None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounters:
    """The counters of an engine, in segments of texts. `routes` are (session, segments that it synthesised).

    Every segment requested from the cache is a hit, a miss (it was computed), or joined a running computation.
    `cache_bytes` is the size of the cache at the end, `cache_limit` its limit; both are 0 without a cache.
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
        """The number of requested segments."""
        return self.hits + self.misses + self.joined

    def since(self, earlier: "EngineCounters") -> "EngineCounters":
        """The counts since `earlier`, counters of the same engine. The sizes of the cache are the current ones."""
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
    """One timed synthesis. Stamps count from its intended start. `end_ns` is the end of the answer or the failure."""

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
    """The client's own delay of the start under concurrent requests; None for sequential ones."""
    account: EngineCounters | None = None
    """The engine's counters during the repetition, if it has any; for concurrent requests, those of all together."""
    phonemes: str = ""
    """What the engine gave the model, where the audio was kept and the engine knows it; "" if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPart:
    """One part of starting an engine: interpreter, import, session, voices, phonemiser or first_inference."""

    name: str
    ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """Facts that a loaded engine reports: the providers that ONNX Runtime actually uses, versions, options.

    `profile` says that it writes ONNX Runtime's profile if the order names one.
    """

    providers: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    sample_rate: int = 0
    python: str = ""
    profile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSoftware:
    """What a worker loaded, as the worker itself found it. A worker of an earlier revision reports none of it: all "".

    `engine_source` is the SHA-256 of the Python modules that start the engine, synthesise and stamp, by relative path
    and content. `engine_version` is that of the distribution that the engine wraps or comes from, and `packages` is
    this distribution with all that it needs, in the installed versions. `local_packages` are those of them whose
    version does not tell their content, with a digest of it: they were installed from a folder, a repository or a file,
    or changed afterwards. `git_packages` are those of them whose content a commit tells.
    """

    engine_version: str = ""
    engine_source: str = ""
    interpreter: str = ""
    packages: tuple[tuple[str, str], ...] = ()
    local_packages: tuple[tuple[str, str], ...] = ()
    harness_version: str = ""
    """Version of kokoro-bench. It is no part of what is compared: a new version with the same modules is the same."""
    from_checkout: bool = False
    """Whether the engine's modules lie in a source tree, so that a git revision can name them."""
    git_packages: tuple[GitPackage, ...] = ()


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
    """Made only for a start-up scenario, and ended after its first inference."""
    outcome: Outcome = VALID
    software: LoadedSoftware = field(default_factory=LoadedSoftware)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The times of two fixed pieces of work of the harness. They show how fast the machine was in this block."""

    numpy_ns: int | None
    graph_ns: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadNote:
    """Observations of a load besides its requests.

    `timer_lag` is the lag of the client's own timer as (lag in 0.1 ms, count), in ascending order. `memory` and
    `server_cpu_ns` are those of the server's process tree over the whole load, if known.
    """

    timer_lag: tuple[tuple[int, int], ...] = ()
    memory: Memory = field(default_factory=Memory)
    server_cpu_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFigures:
    """The numbers that a server reports at its /status, by their path in the JSON; or the reason why there are none."""

    figures: tuple[tuple[str, float], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One round of every scenario, in a new random order or in the reversed order of the block before.

    `wall_ns` is the time from its first request to its last answer. If arms run in groups, `group` is the index of the
    group, and a block is a round of the group's scenarios. A block with a `load` has one scenario, and `started_at` and
    `wall_ns` are its window. If two arms ran in slices, `slice_ns` is the longest slice; 0 if they ran one after the
    other, and `whole` is the reason if slices were requested. A block in slices with a reason is the block that showed
    it: its values, and those of earlier blocks in slices, do not count.
    """

    block: int
    launch: int
    order: tuple[str, ...]
    started_at: float
    wall_ns: int
    canary: Canary
    load: LoadNote | None = None
    servers: tuple[tuple[str, ServerFigures], ...] = ()
    """(Arm id, the numbers that its server reports after the block) for every arm that is a server."""
    group: int = 0
    slice_ns: int = 0
    whole: str = ""
