"""The scripted engine, which needs no model: its times follow a formula, its audio is a tone, its faults are chosen.

On a `ScriptedClock`, every run gives the same bytes. On the system's clock it really waits, as in the tests of worker
processes. `EngineOrder.script` may hold:

- ``pace``: a factor on all costs (1.0);
- ``noise``: the coefficient of variation of a synthesis (0.02);
- ``launch_noise``: the standard deviation of the costs between launches, as a log-ratio (0);
- ``memory``: a factor on the memory that the worker reports (1.0);
- ``leak``: the megabytes of memory that each request keeps for good (0);
- ``memory_noise``: the standard deviation of that memory between launches, as a log-ratio (0);
- ``fault``: ``crash``, ``hang``, ``raise``, ``silent``, ``truncate``, ``refuse`` or ``exit-at-load``;
- ``fault_text``: the length of the shortest text with the fault, in characters (0: all texts have it);
- ``new_length``: additional seconds for a text after one of another length (0);
- ``quick_start``: starting takes a hundredth of its time.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.core.clock import ScriptedClock
from harness.core.records.repetition import EngineFacts
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.scripted_profile import ScriptedProfile
from harness.engines.speech import EngineRefusal, SpeechRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.core.clock import Clock

SAMPLE_RATE = 24_000
SECONDS_PER_CHARACTER = 0.07
CHUNK_CHARACTERS = 200
LEADING_SILENCE_S = 0.05

SCRIPTED_MODELS: Mapping[str, float] = {
    "scripted": 1.0,
    "scripted-8bit": 0.8,
    "scripted-int8": 0.8,
    "scripted-dq": 1.0,
}
"""Model → its inference time as a ratio of that of the original."""
SCRIPTED_PARENTS: Mapping[str, str] = {"scripted": "", "scripted-8bit": "scripted", "scripted-dq": "scripted-int8"}
"""Model → its parent, "" for an original. A model that is not here has an unknown origin, like a user's file."""
SCRIPTED_DEQUANTISED = ("scripted-dq",)
"""Originals made from an 8-bit model, like `kokoro-v1.0-dq`."""

QUICK_START = "quick_start"
POSITIVE = ("pace", "memory")
"""Settings that may not be 0: no time and no memory has no ratio to another."""
FAULTS = ("", "crash", "hang", "raise", "silent", "truncate", "refuse", "exit-at-load")


SCRIPT = "script"
"""The session option for the script of one arm, in place of the run's script. Its value is `version_of` the script."""
OPTIONS: Mapping[str, str] = {SCRIPT: "settings of this arm's scripted engine"}
PLAIN = "plain"


def version_of(script: Mapping[str, str]) -> str:
    """The script as text, which stands for the version of the engine."""
    return " ".join(f"{name}={value}" for name, value in sorted(script.items())) or PLAIN


def ordered_script(order: EngineOrder) -> Mapping[str, str]:
    """The script of an order: that of the arm, otherwise that of the run."""
    own = order.session_options.get(SCRIPT)
    return order.script if own is None else _script_of(own)


def _script_of(text: str) -> Mapping[str, str]:
    """The script that `version_of` describes. What is no setting has the value "", which `Script.read` refuses."""
    return (
        {} if text == PLAIN else {name: value for name, _, value in (item.partition("=") for item in text.split(" "))}
    )


def check_options(options: Mapping[str, str]) -> None:
    """EngineRefusal for an arm's script that makes no sense, and for a value that no session option takes."""
    from harness.engines.kokoro.session import SESSION_OPTIONS
    from harness.engines.kokoro.session import check_options as check_session_options

    if own := options.get(SCRIPT):
        Script.read(_script_of(own))
    check_session_options({name: value for name, value in options.items() if name in SESSION_OPTIONS})


def script_names() -> tuple[str, ...]:
    """The names of the settings that a script may hold."""
    return (*(field.name for field in fields(Script)), QUICK_START)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A parsed script (see the module)."""

    pace: float = 1.0
    noise: float = 0.02
    launch_noise: float = 0.0
    memory: float = 1.0
    leak: float = 0.0
    memory_noise: float = 0.0
    fault: str = ""
    fault_text: int = 0
    new_length: float = 0.0

    @classmethod
    def read(cls, script: Mapping[str, str]) -> "Script":
        """Parse a script. EngineRefusal for an unknown name or an invalid value."""
        known = script_names()
        unknown = [name for name in script if name not in known]
        fault = script.get("fault", "")
        if unknown or fault not in FAULTS:
            what = f"no {unknown[0]!r}" if unknown else f"no fault {fault!r}"
            raise EngineRefusal(
                f"the script knows {what}; it knows {', '.join(known)} and the faults {', '.join(FAULTS[1:])}"
            )
        given = {name: value for name, value in script.items() if name not in ("fault", QUICK_START)}
        try:
            numbers: dict[str, Any] = {
                name: int(value) if name == "fault_text" else float(value) for name, value in given.items()
            }
        except ValueError as error:
            raise EngineRefusal(f"the script takes numbers: {error}") from error
        for name, number in numbers.items():
            if not 0 <= number < math.inf or (name in POSITIVE and not number):
                raise EngineRefusal(f"the script takes no {name}={number:g}; it must be {_range(name)}")
        return cls(fault=fault, **numbers)


def _range(name: str) -> str:
    return "a number above 0" if name in POSITIVE else "0 or a number above"


class ScriptedFault(RuntimeError):  # noqa: N818 - a fault of the engine, not of the harness
    """An error that the script requires."""


class ScriptedEnd(BaseException):
    """The end of the worker process, or its hanging, on a scripted clock."""

    def __init__(self, how: str, *, hangs: bool = False) -> None:
        self.hangs = hangs
        super().__init__(how)


class ScriptedEngine:
    """Latency = 2 ms + 0.2 s per second of audio × the model's factor × pace, with log-normal noise."""

    def __init__(self, order: EngineOrder, *, clock: "Clock", stages: Stages) -> None:
        import numpy as np

        self._script = Script.read(ordered_script(order))
        self._factor = SCRIPTED_MODELS.get(order.model, 1.0) * self._script.pace
        self._clock = clock
        self._stages = stages
        self._last_length = 0
        self._generator = np.random.Generator(np.random.Philox(_seed(order)))
        if self._script.launch_noise:
            self._factor *= float(np.exp(self._script.launch_noise * self._generator.standard_normal()))
        self._profile = (
            ScriptedProfile(order.profile, factor=self._factor, noise=self._script.noise, memory=self._script.memory)
            if order.profile
            else None
        )
        self.facts = EngineFacts(providers=(order.provider,), sample_rate=SAMPLE_RATE, python="scripted")

    def synthesise(self, request: SpeechRequest) -> Iterator["NDArray[np.float32]"]:
        """A tone after a short silence; when streaming, in chunks of `CHUNK_CHARACTERS`."""
        if len(request.text) >= self._script.fault_text:
            self._fail_if_scripted()
        with self._stages.stage("phonemise"):
            self._clock.sleep(0.002 * self._script.pace)
        if self._script.new_length and len(request.text) != self._last_length:
            with self._stages.stage("inference"):
                self._clock.sleep(self._script.new_length)
        self._last_length = len(request.text)
        segments = _segments(len(request.text), CHUNK_CHARACTERS if request.stream else len(request.text))
        for number, characters in enumerate(segments):
            seconds = characters * SECONDS_PER_CHARACTER / request.speed
            noise = float(self._generator.standard_normal()) * self._script.noise
            with self._stages.stage("inference"):
                self._clock.sleep(0.2 * seconds * self._factor * (1 + noise))
            if self._profile is not None:
                self._profile.add(0.2 * seconds, self._generator)
            with self._stages.stage("postprocess"):
                self._clock.sleep(0.001 * self._script.pace)
            yield self._sound(seconds, first=number == 0)

    def close(self) -> None:
        """Write the profile, if one was ordered."""
        if self._profile is not None:
            self._profile.write()
            self._profile = None

    def _fail_if_scripted(self) -> None:
        match self._script.fault:
            case "crash":
                if isinstance(self._clock, ScriptedClock):
                    raise ScriptedEnd("killed by SIGABRT")
                os.abort()
            case "hang":
                if isinstance(self._clock, ScriptedClock):
                    raise ScriptedEnd("hung", hangs=True)
                self._clock.sleep(3600)
            case "raise":
                raise ScriptedFault("the script asked for an error")

    def _sound(self, seconds: float, *, first: bool) -> "NDArray[np.float32]":
        if self._script.fault == "truncate":
            seconds = 0.0001
        frames = max(1, round(seconds * SAMPLE_RATE))
        silent_frames = round(LEADING_SILENCE_S * SAMPLE_RATE) if first else 0
        return _tone(frames, frames if self._script.fault == "silent" else silent_frames)


# A scripted run repeats few texts often, and would spend most of its time here.
@lru_cache(maxsize=32)
def _tone(frames: int, silent_frames: int) -> "NDArray[np.float32]":
    """A read-only tone of 220 Hz of `frames` samples, the first of them silent."""
    import numpy as np

    audio = 0.14 * np.sin(2 * np.pi * 220 / SAMPLE_RATE * np.arange(frames, dtype=np.float64))
    audio[:silent_frames] = 0.0
    found = audio.astype(np.float32)
    found.setflags(write=False)
    return found


def start(order: EngineOrder, *, clock: "Clock", stages: Stages) -> ScriptedEngine:
    """Start the engine in scripted time. EngineRefusal for an invalid script, or if the script requires it."""
    plain = ordered_script(order)
    script = Script.read(plain)
    if script.fault == "refuse":
        raise EngineRefusal("the script asked for a refusal")
    if script.fault == "exit-at-load":
        raise SystemExit(7)
    for part, seconds in (("import", 0.4), ("session", 0.8), ("voices", 0.02), ("phonemiser", 0.03)):
        with stages.stage(part):
            clock.sleep(seconds * script.pace * (0.01 if plain.get(QUICK_START) else 1.0))
    return ScriptedEngine(order, clock=clock, stages=stages)


def leaked_bytes(order: EngineOrder) -> int:
    """What each request keeps by the script; 0 where the script makes no sense, which `start` refuses."""
    try:
        return round(Script.read(ordered_script(order)).leak * 1e6)
    except EngineRefusal:
        return 0


def memory_factor(order: EngineOrder, *, launch: int) -> float:
    """The factor on the memory of one launch; 1 for an invalid script, which `start` refuses."""
    try:
        script = Script.read(ordered_script(order))
    except EngineRefusal:
        return 1.0
    if not script.memory_noise:
        return script.memory
    import numpy as np

    generator = np.random.Generator(np.random.Philox(_seed(order, f"memory of launch {launch}")))
    return script.memory * float(np.exp(script.memory_noise * generator.standard_normal()))


def _seed(order: EngineOrder, purpose: str = "") -> int:
    text = f"{order.seed}/{order.model}/{order.provider}/{order.threads}" + (f"/{purpose}" if purpose else "")
    if own := order.session_options.get(SCRIPT):
        text += f"/{own}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _segments(characters: int, largest: int) -> list[int]:
    """The lengths of segments of at most `largest` characters."""
    whole, rest = divmod(characters, max(1, largest))
    return [largest] * whole + ([rest] if rest else [])
