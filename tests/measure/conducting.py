"""A run on a scripted clock, for the tests of everything that a conductor does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.core.clock import Clock, ScriptedClock
from harness.core.records.repetition import Canary, Launch, Outcome, OutcomeKind, Repetition
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario, Utterance
from harness.measure.conductor.conductor import Conductor
from harness.measure.conductor.events import BlockDone, Event, Launched, ScenarioLost, WarmedUp
from harness.measure.conductor.watch import Watch, never
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.place import HERE, WorkerPlace
from harness.measure.worker.protocol import CanaryOrder, LoadOrder, SynthesisOrder
from harness.measure.worker.scripted_handle import ScriptedHandle
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.matrix import Plan, RunLimits

MS = 1_000_000
ORIGINAL = Arm(engine="scripted", model=ModelVariant(name="scripted", sha256="a" * 64, size=1, origin="scripted"))
DERIVED = Arm(
    engine="scripted",
    model=ModelVariant(name="scripted-8bit", sha256="b" * 64, size=1, origin="scripted", parent="a" * 64),
)
TEXTS = {
    name: tuple(
        Utterance(text_class=name, variant=number, text=letter * characters) for number, letter in enumerate("xyz")
    )
    for name, characters in (("short", 10), ("long", 100))
}
LATENCY_MS = {
    ("scripted", "short"): 143,
    ("scripted", "long"): 1403,
    ("scripted-8bit", "short"): 115,
    ("scripted-8bit", "long"): 1123,
}
"""Without noise: 3 ms, and 0.2 s (0.16 s for the 8-bit model) for each second of 0.07 s a character."""
BLOCK_MS = 50 + sum(LATENCY_MS.values())
"""A round of all four, and the canary's 50 ms."""
FIRST_NS = {"scripted": 171_000_000, "scripted-8bit": 137_400_000}
"""The first inference: 12 characters."""


def scenario(arm: Arm, text_class: str, mode: Mode = Mode.WHOLE, variant: int | None = 0) -> Scenario:
    return Scenario(arm=arm, mode=mode, text_class=text_class, voice="af_heart", variant=variant)


FOUR = (
    scenario(ORIGINAL, "long"),
    scenario(DERIVED, "long"),
    scenario(ORIGINAL, "short"),
    scenario(DERIVED, "short"),
)
LOADS = (scenario(ORIGINAL, "", Mode.LOAD_WARM), scenario(DERIVED, "", Mode.LOAD_COLD))


def plan(scenarios: Sequence[Scenario] = FOUR, **run_limits: object) -> Plan:
    given: dict[str, object] = {
        "budget_s": 1_000.0,
        "launches": 2,
        "blocks": 2,
        "warmups": 1,
        "timeout_s": 5.0,
        "seed": 0,
        **run_limits,
    }
    return Plan(
        scenarios=tuple(scenarios),
        utterances=TEXTS,
        run_limits=RunLimits(**given),  # type: ignore[arg-type]
        corpus_digest="c" * 64,
        script={"noise": "0"},
    )


Rule = Callable[[LoadOrder | SynthesisOrder | CanaryOrder], None]
"""Raises WorkerLost, or whatever else, where a worker is to end."""


@dataclass
class Agency:
    """Starts scripted workers, and writes down everything that happens to them."""

    clock: Clock
    rule: Rule = lambda _order: None
    log: list[tuple[str, str]] = field(default_factory=list)
    loads: list[LoadOrder] = field(default_factory=list)
    spoken: list[SynthesisOrder] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    open: list["Hand"] = field(default_factory=list)
    startable: bool = True
    speed: dict[str, float] = field(default_factory=dict)
    """Arm id → how much faster its engine speaks than it should."""

    def start(self, _place: WorkerPlace) -> "Hand":
        if not self.startable:
            raise WorkerLost(OutcomeKind.CRASHED, "cannot start python: gone")
        hand = Hand(self)
        self.open.append(hand)
        return hand

    def worker_factory(self) -> WorkerFactory:
        return WorkerFactory(
            start=self.start, place=lambda _arm: HERE, files=lambda _arm: ArmFiles(model_path="m", voices_path="v")
        )


class Hand(ScriptedHandle):
    def __init__(self, agency: Agency) -> None:
        super().__init__(agency.clock)
        self.agency = agency
        self.name = "canary"

    def load(self, order: LoadOrder, *, timeout_s: float) -> Launch:
        self.name = order.arm_id
        others = [hand.name for hand in self.agency.open if hand is not self]
        self.agency.log.append(("dedicated" if order.dedicated else "load", f"{order.arm_id} beside {len(others)}"))
        self.agency.loads.append(order)
        self.agency.rule(order)
        return super().load(order, timeout_s=timeout_s)

    def synthesise(self, order: SynthesisOrder, *, timeout_s: float) -> Repetition:
        self.agency.spoken.append(order)
        self.agency.timeouts.append(timeout_s)
        self.agency.rule(order)
        return super().synthesise(
            replace(order, speed=order.speed * self.agency.speed.get(self.name, 1.0)), timeout_s=timeout_s
        )

    def canary(self, order: CanaryOrder, *, timeout_s: float) -> Canary:
        self.agency.rule(order)
        return super().canary(order, timeout_s=timeout_s)

    def close(self) -> None:
        self.agency.log.append(("close", self.name))
        self.agency.open.remove(self)
        super().close()


@dataclass
class Played:
    """What one run said and did."""

    conductor: Conductor
    agency: Agency
    events: list[Event]

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def blocks(self) -> list[BlockDone]:
        return [event for event in self.events if isinstance(event, BlockDone)]

    @property
    def launches(self) -> list[Launch]:
        return [event.launch for event in self.events if isinstance(event, Launched)]

    @property
    def warm_ups(self) -> list[Repetition]:
        return [event.repetition for event in self.events if isinstance(event, WarmedUp)]

    @property
    def lost(self) -> dict[str, Outcome]:
        return {event.scenario_id: event.outcome for event in self.events if isinstance(event, ScenarioLost)}


def perform(
    what: Plan,
    *,
    rule: Rule = lambda _order: None,
    enough: Callable[[], str] = never,
    settled: Callable[[], str] = never,
    startable: bool = True,
    speed: dict[str, float] | None = None,
    audio: Callable[[Scenario, int], str] = lambda _scenario, _launch: "",
    agency: Agency | None = None,
) -> Played:
    agency = agency or Agency(ScriptedClock(), rule, startable=startable, speed=speed or {})
    clock = agency.clock
    events: list[Event] = []
    watch = Watch(ends_run=enough, ends_group=settled)
    conductor = Conductor(
        what, worker_factory=replace(agency.worker_factory(), audio=audio), clock=clock, emit=events.append, watch=watch
    )
    conductor.run()
    assert agency.open == []
    return Played(conductor, agency, events)


def brief(scenario_id: str) -> str:
    """`scripted-8bit.cpu.tdefault/whole/long/af_heart` → `8bit long`."""
    arm, _, rest = scenario_id.partition("/")
    return f"{'8bit' if '8bit' in arm else 'fp32'} {rest.split('/')[1] if rest.count('/') else rest}"


def lose(kind: OutcomeKind, reason: str) -> None:
    raise WorkerLost(kind, reason, f"stderr of {reason}")
