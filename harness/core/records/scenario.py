"""Scenarios: an arm (everything that a worker loads), a text class and a mode."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.core.file_names import without_folder
from harness.core.names import SERVER, slug


class Mode(StrEnum):
    """How audio is requested."""

    WHOLE = "whole"
    """One call that returns all audio."""
    STREAM = "stream"
    """Chunks as the engine yields them."""
    ENDPOINT = "endpoint"
    """Over HTTP."""
    LOAD_WARM = "load-warm"
    """Start-up with the model file in the page cache, including the first inference."""
    LOAD_COLD = "load-cold"
    """Start-up with the model file evicted from the page cache."""
    WARM_UP = "warm-up"
    """First requests: whole texts in a new process that has synthesised nothing, each once, and then each again."""

    @property
    def starts_alone(self) -> bool:
        """Whether the scenario has dedicated start-ups without other workers, and takes no part in blocks."""
        return self.is_start_up or self is Mode.WARM_UP

    @property
    def is_start_up(self) -> bool:
        """Whether the scenario measures start-up and not synthesis."""
        return self in (Mode.LOAD_WARM, Mode.LOAD_COLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A range that includes both ends, such as the seconds of audio per character of a text class."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A text of a text class. `variant` is its index within the class."""

    text_class: str
    variant: int
    text: str
    is_phonemes: bool = False
    language: str = "en-us"
    """The tag of the text's language, "" if unknown. In an order: the language to synthesise in."""

    @property
    def characters(self) -> int:
        return len(self.text)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that determines the speech."""
        kind = "phonemes" if self.is_phonemes else "text"
        return hashlib.sha256(f"{self.language or 'en-us'}\n{kind}\n{self.text}".encode()).hexdigest()


DEQUANTISED = "dequantised"
"""The origin of a 32-bit original that was made from an 8-bit file. Its `parent` is that file, of which it is the
original."""


OPTIMISED = "optimised"
"""The origin of a graph that was made from another model and computes the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVariant:
    """A model file, identified by its digest and never by its name.

    `origin` is "replica", "public", "dequantised", "quantised", "optimised", "user" or "scripted". `recipe` states how
    it was made. `parent` is the SHA-256 of the model that it was made from ("" for none). `size` is in bytes, including
    external data.
    """

    name: str
    sha256: str
    size: int
    origin: str
    recipe: str = ""
    parent: str = ""
    voices_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A set of packages with its own virtual environment. No requirements: the current environment."""

    name: str = "current"
    requirements: tuple[str, ...] = ()


CURRENT_RUNTIME = Runtime()

UNCOMMITTED = "with uncommitted changes"
"""The end of the description of a source that has some."""


PASSING = ("pid",)
"""Options of a server that do not describe it, and differ at each of its starts."""

PLAIN_ENGINES = ("kokoro", "scripted")
"""Engines that ids of arms with a model do not name. Ids are in baselines, so this never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Everything that a worker loads.

    `threads` is ONNX Runtime's intra-op count, 0 for its default. `provider` is our short name ("cpu", "openvino", …),
    or "" if the engine has neither providers nor threads. `session_options` of an arm with a `url` are the endpoint's
    options. `revision` is the git revision whose source the worker runs ("" for the current tree). `slowdown` is a
    planted delay as a ratio of the work, for calibration only.
    """

    engine: str
    model: ModelVariant | None = None
    provider: str = "cpu"
    threads: int = 0
    runtime: Runtime = CURRENT_RUNTIME
    provider_options: tuple[tuple[str, str], ...] = ()
    session_options: tuple[tuple[str, str], ...] = ()
    revision: str = ""
    url: str = ""
    slowdown: float = 0.0
    side: str = ""
    """Distinguishes the two arms of a duel if nothing else does."""
    source: str = ""
    """What the engine's source is, for people: its short commit and subject line, and whether it has uncommitted
    changes. "" if it is not from a git repository that was named."""

    @property
    def server(self) -> str:
        """The name of the server that is started for each launch of the arm; "" for any other arm."""
        return self.url.removeprefix(SERVER) if self.url.startswith(SERVER) else ""

    @property
    def id(self) -> str:
        """A stable, readable slug. It omits settings with their default value."""
        parts = [self.model.name if self.model else self.engine]
        if self.model and self.engine not in PLAIN_ENGINES:
            parts.append(slug(self.engine))
        if self.provider:
            parts += [self.provider, f"t{self.threads}" if self.threads else "tdefault"]
        if self.runtime.requirements:
            parts.append(slug(self.runtime.name))
        options = (*self.provider_options, *self.session_options)
        if not self.url:  # options of an endpoint may be paths of HTTP
            options = tuple((key, without_folder(value)) for key, value in options)
        parts += [slug(f"{key}={value}") for key, value in options if not (self.url and key in PASSING)]
        if self.url:
            parts.append(slug(self.url))
        if self.revision:
            parts.append(f"rev-{slug(self.revision)}")
        if self.slowdown:
            parts.append(f"slowed-{self.slowdown:g}")
        if self.side:
            parts.append(self.side)
        return ".".join(parts)


class Arrivals(StrEnum):
    """When the requests of a load begin."""

    CLOSED = "closed"
    """Closed loop: each user sends the next request after its answer, so a slow server gets fewer requests."""
    CONSTANT = "constant"
    """Open loop at a constant rate, independent of the answers."""
    POISSON = "poisson"
    """Open loop as a Poisson process: independent requests at a mean rate."""
    RAMP = "ramp"
    """Open loop at a rate that rises or falls linearly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A load on a server: `level` is the number of users, or the requests per second (of a ramp: the final rate).

    A ramp begins at `first` requests per second. The window of `seconds` lies between `warm_up_s` and `cool_down_s`,
    during which the load continues. With `listen` a user plays an answer to its end before the next request. Answers
    that are incomplete `drain_s` seconds after the load's end count as unfinished.
    """

    arrivals: Arrivals
    level: float
    first: float = 0.0
    seconds: float = 30.0
    warm_up_s: float = 5.0
    cool_down_s: float = 2.0
    listen: bool = False
    drain_s: float = 30.0

    @property
    def total_s(self) -> float:
        """Seconds from the first possible start of a request to the last."""
        return self.warm_up_s + self.seconds + self.cool_down_s

    @property
    def longest_s(self) -> float:
        """Seconds from the first possible start of a request to the end of the drain time."""
        return self.total_s + self.drain_s

    @property
    def name(self) -> str:
        """A slug: "closed-4", "poisson-2.5", "ramp-1-to-20"."""
        first = f"{self.first:g}-to-" if self.arrivals is Arrivals.RAMP else ""
        return f"{self.arrivals.value}-{first}{self.level:g}" + ("-listening" if self.listen else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One line of every table: an arm, a text class, a mode, a voice, a concurrency or a load.

    `variant` is the index of the text within its class; None cycles through the variants, one per block, or one per
    request under a load. With a `concurrency` above 1 a block has that many concurrent requests; in a `stampede` they
    all have the same text. With `repeats` above 1 a block has that many sequential requests, and a `variant` of None
    changes with each. `language` is the tag of the user's language; "" means the voice's own.
    """

    arm: Arm
    mode: Mode
    text_class: str
    voice: str
    speed: float = 1.0
    variant: int | None = 0
    concurrency: int = 1
    traffic: Traffic | None = None
    repeats: int = 1
    stampede: bool = False
    language: str = ""

    @property
    def is_concurrent(self) -> bool:
        """Whether it sends more than one request at a time."""
        return self.concurrency > 1 or self.traffic is not None

    @property
    def id(self) -> str:
        """A stable, readable slug: the key in tables, baselines, test names and addresses."""
        return f"{self.arm.id}/{self.request}"

    @property
    def request(self) -> str:
        """A slug of the request without the arm. Scenarios with the same request make pairs."""
        parts = [self.mode.value]
        if not self.mode.is_start_up:
            parts += [self.text_class, slug(self.voice)]
            if self.language:
                parts.append(f"lang-{slug(self.language)}")
            if self.speed != 1.0:
                parts.append(f"speed-{self.speed:g}")
            if self.variant is None:
                parts.append("rotating")
            elif self.variant:
                parts.append(f"variant-{self.variant}")
            if self.concurrency != 1:
                parts.append(f"stampede-{self.concurrency}" if self.stampede else f"x{self.concurrency}")
            if self.repeats != 1:
                parts.append(f"soak-{self.repeats}")
            if self.traffic is not None:
                parts.append(self.traffic.name)
        return "/".join(parts)


def reference_of(scenarios: Sequence[Scenario]) -> Scenario | None:
    """The reference of scenarios with the same request: the plainest one, preferably an original. None for no scenario.

    An original precedes the models made from it, the CPU other providers, kokoro-onnx other engines, and few settings
    many. The first of equal ones is taken.
    """
    return min(scenarios, key=lambda each: _settings(each.arm, scenarios), default=None)


def _settings(arm: Arm, scenarios: Sequence[Scenario]) -> tuple[int, ...]:
    derived = bool(arm.model and original_digest(arm.model, scenarios))
    settings = len(arm.provider_options) + len(arm.session_options) + bool(arm.threads) + bool(arm.runtime.requirements)
    return int(derived), int(arm.provider != "cpu"), int(arm.engine not in PLAIN_ENGINES), settings


def original_digest(model: ModelVariant, scenarios: Sequence[Scenario]) -> str:
    """SHA-256 of a model's original; "" if it is an original itself or its original is unknown.

    The original is the model from which it was derived, or that one's own original if the run has the model between. A
    dequantised model is an original although it was made from another file: in a run with both, it is the original of
    that file.
    """
    if model.origin == DEQUANTISED or not (model.sha256 or model.parent):
        return ""
    models = {each.arm.model.sha256: each.arm.model for each in scenarios if each.arm.model and each.arm.model.sha256}
    first, seen = model.parent or model.sha256, {model.sha256}
    while (between := models.get(first)) and between.parent and between.origin != DEQUANTISED and first not in seen:
        seen.add(first)
        first = between.parent
    made_of_it = (each for each in models.values() if each.origin == DEQUANTISED and each.parent == first)
    return next((each.sha256 for each in made_of_it), first if first != model.sha256 else "")


def original_of(scenario: Scenario, scenarios: Sequence[Scenario]) -> Scenario | None:
    """The scenario of a model's original, as audio reference: on the CPU, with the same packages if the run has it.

    None if the run has no such scenario. If there are several, the first; arms with other threads use it as well.
    """
    model = scenario.arm.model
    if model is None or not model.sha256:
        return None
    wanted = original_digest(model, scenarios) or model.sha256
    alike = [
        each
        for each in scenarios
        if each.arm.model is not None
        and each.arm.model.sha256 == wanted
        and each.arm.provider == "cpu"
        and each.arm.engine == scenario.arm.engine
        and same_request(each, scenario)
    ]
    same = [each for each in alike if each.arm.runtime == scenario.arm.runtime]
    return next(iter(same or alike), None)


def same_request(one: Scenario, other: Scenario) -> bool:
    """Whether two scenarios have the same mode, text, voice, language, speed and concurrency."""
    return _request(one) == _request(other)


def _request(scenario: Scenario) -> tuple[object, ...]:
    spoken = scenario.text_class, scenario.variant, scenario.voice, scenario.language, scenario.speed
    return scenario.mode, spoken, scenario.concurrency
