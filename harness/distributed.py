"""A load whose clients are processes of another tool: each listens by `ListenerDesk`, and one gathers by `Gathering`.

Requests, stamps, checks, texts, metrics and events are those of `kokoro-bench load`; only who starts them is another.
Nothing here knows of Locust: `suites/locustfile.py` does.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from harness.clock import Clock
from harness.engines.endpoint import settle_dialect
from harness.engines.faults import EndpointFault
from harness.engines.line import Line
from harness.engines.protocol import SpeechRequest, Stages
from harness.engines.target import Target, check_format_known, read_address, read_settings
from harness.equipment import Equipment
from harness.errors import ExitCode
from harness.judge.gate import exit_code
from harness.laboratory import Finished, Keeper, head_of
from harness.loads import judge_load
from harness.measure.event_file import listeners_from
from harness.measure.events import Begun, BlockDone, Launched
from harness.measure.judging import LAG_STEP_NS, Attempt, Judge, Programme, Served
from harness.plan.config import Config
from harness.plan.corpus import Corpus, seconds_per_character
from harness.plan.matrix import CROWD_TEXTS, Pace, make_plan
from harness.records.repetition import (
    Block,
    Canary,
    EngineFacts,
    Launch,
    LoadNote,
    Memory,
    Outcome,
    Phase,
    Repetition,
)
from harness.records.run import RunStatus
from harness.records.scenario import Arm, Mode, Scenario, Traffic, Utterance
from harness.store.runs import RunStore
from harness.verdicts import policy_of

APART_S = 0.5
"""Clocks of two machines that differ by more put requests into the wrong part of a window."""
CUT_SHORT = "the load ended before its window did"
ELSEWHERE = "the clients of this load are other processes; the server was not watched"


def scenario_of(config: Config, arm: Arm, text_class: str, traffic: Traffic) -> Scenario:
    """The one scenario of such a load."""
    return Scenario(
        arm=arm, mode=Mode.ENDPOINT, text_class=text_class, voice=config["voice"], variant=None, traffic=traffic
    )


def texts_of(text_class: str, *, client: int = 0) -> tuple[Utterance, ...]:
    """The texts of a class, as many as there are; every client begins elsewhere, so that not all ask for the same."""
    texts = Corpus().at_most(text_class, CROWD_TEXTS)
    first = client * 137 % len(texts)
    return (*texts[first:], *texts[:first])


def settle(arm: Arm, *, clock: Clock) -> Target:
    """Reach the server and find out its dialect. EngineRefusal, EndpointFault."""
    address, settings = read_address(arm.url), read_settings(dict(arm.session_options))
    line = Line(address, replace(settings, keep_alive=False), clock=clock, stages=Stages(clock))
    dialect, _ = settle_dialect(address, settings, line)
    check_format_known(dialect, settings)
    return Target(address=address, settings=settings, dialect=dialect)


class ListenerDesk:
    """The client's side of one process: `ask` for each listener, `judge` each answer aside, `drain` the records."""

    def __init__(self, target: Target, scenario: Scenario, texts: Sequence[Utterance], *, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._programme = Programme(
            scenario_id=scenario.id, utterances=tuple(texts), band=seconds_per_character, voice=scenario.voice,
            speed=scenario.speed,
        )  # fmt: skip
        self._judge = Judge(target, self._programme)
        self._judge.began_ns, self._judge.began_at = clock.now_ns(), clock.wall()
        self._done: deque[Repetition] = deque()
        self._lag: Counter[int] = Counter()
        self._asked = 0

    @property
    def sample_rate(self) -> int:
        """Of the audio, in Hz."""
        return self._target.settings.sample_rate

    def line(self) -> tuple[Line, Stages]:
        """A listener's own connection, and the stamps of its making."""
        stages = Stages(self._clock)
        return Line(self._target.address, self._target.settings, clock=self._clock, stages=stages), stages

    def beat(self, lateness_ns: int) -> None:
        """How late the process's timer came."""
        self._lag[round(lateness_ns / LAG_STEP_NS)] += 1

    def ask(self, line: Line, stages: Stages, *, listener: int, intended_ns: int) -> tuple[Served, Utterance]:
        """One request, to its end. Faults are outcomes. Blocks as sockets do."""
        served = Served(number=self._asked, listener=listener, intended_ns=intended_ns, ready_ns=intended_ns)
        self._asked += 1
        utterance = self._programme.utterance(served.number)
        served.sent_ns = self._clock.now_ns()
        request = SpeechRequest(
            text=utterance.text, voice=self._programme.voice, speed=self._programme.speed,
            language=utterance.language, stream=True,
        )  # fmt: skip
        exchange, pieces = line.converse(self._target.ask(request))
        try:
            for heard in pieces:
                served.heard.append(heard)
        except EndpointFault as fault:
            served.outcome = Outcome(kind=fault.kind, reason=str(fault), fault=fault.fault)
        served.first_byte_ns = exchange.answer.first_byte_ns
        served.end_ns = exchange.answer.end_ns or self._clock.now_ns()
        served.connect = next(((start, end) for name, start, end in stages.take() if name == "connect"), None)
        return served, utterance

    def judge(self, served: Served, utterance: Utterance) -> Attempt:
        """Check what came, and keep its record until it is drained. May be called from any thread."""
        attempt = self._judge(served, utterance)
        self._done.append(attempt.repetition)
        return attempt

    def drain(self) -> dict[str, Any]:
        """What has come since the last call, in types that travel."""
        # One by one, since a judge's thread may add while it is emptied; and without a lock, which gevent replaces.
        done = []
        while self._done:
            done.append(self._done.popleft())
        lag, self._lag = self._lag, Counter()
        return {
            "repetitions": msgspec.json.encode(done),
            "lag": sorted(lag.items()),
            "wall": self._clock.wall(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the load that counts, in seconds since the epoch."""

    start: float
    end: float

    def phase(self, started_at: float) -> Phase:
        """Of a request that was meant to begin then."""
        if started_at < self.start:
            return Phase.WARMUP
        return Phase.MEASURED if started_at < self.end else Phase.COOLDOWN


class Gathering:
    """One run of a load whose clients are elsewhere: stored as they report, judged at the end."""

    def __init__(self, config: Config, scenario: Scenario, store: RunStore, equipment: Equipment) -> None:
        traffic = scenario.traffic
        assert traffic is not None  # noqa: S101 - for the type checker; `scenario_of` gives every scenario one
        self._config = config
        self._scenario = scenario
        self._store = store
        self._equipment = equipment
        pace = Pace(
            budget_s=traffic.total_s, launches=1, blocks=1, warmups=1, timeout_s=config["answer-timeout"],
            seed=config["seed"],
        )  # fmt: skip
        plan = make_plan([scenario], corpus=Corpus(), pace=pace, selection="load (locust)")
        head = head_of(equipment, plan)
        self._keeper = Keeper(
            store=store, head=replace(head, id=store.begin(head)), clock=equipment.clock, report=_silent
        )
        self._began_at = equipment.clock.wall()
        self._window = Window(
            start=self._began_at + traffic.warm_up_s, end=self._began_at + traffic.warm_up_s + traffic.seconds
        )
        self._listeners = listeners_from()
        self._lag: Counter[int] = Counter()
        self._apart_s: dict[str, float] = {}
        self._ended: set[str] = set()
        self._silent = 0
        for listener in self._listeners:
            listener(Begun(run_id=self._keeper.run_id))

    @property
    def ended(self) -> int:
        """How many clients have said that they have no more to say."""
        return len(self._ended)

    def expect(self, clients: int) -> None:
        """So many were to say so; where fewer did, the run is told of it."""
        self._silent = max(0, clients - self.ended)

    @property
    def run_id(self) -> str:
        """Where it is in the store."""
        return self._keeper.run_id

    def add(self, client: str, report: Mapping[str, Any]) -> None:
        """What a client has drained: stored at once."""
        repetitions = msgspec.json.decode(report["repetitions"], type=list[Repetition])
        now = self._equipment.clock.wall()
        self._apart_s[client] = max(self._apart_s.get(client, 0.0), abs(now - report["wall"]))
        for steps, times in report["lag"]:
            self._lag[steps] += times
        placed = [
            # Only the gatherer knows how many listeners there are in all, and when the window is.
            replace(each, scenario_id=self._scenario.id, launch=0, block=0, phase=self._window.phase(each.started_at))
            for each in repetitions
        ]
        if report.get("last"):
            self._ended.add(client)
        if placed:
            self._store.add_repetitions(self.run_id, placed)

    def finish(self) -> Finished:
        """The load is over: its block, its judgement, its end. One that ends within its window is partial."""
        clock, traffic = self._equipment.clock, self._scenario.traffic
        ended_early = CUT_SHORT if clock.wall() < self._window.end else ""
        assert traffic is not None  # noqa: S101 - for the type checker
        options = (("clients", str(len(self._apart_s))), ("driver", "locust"), ("url", self._scenario.arm.url))
        launch = Launch(
            arm_id=self._scenario.arm.id, launch=0, started_at=self._began_at,
            page_cache="unknown: the engine is a server", facts=EngineFacts(options=options),
        )  # fmt: skip
        block = Block(
            block=0, launch=0, order=(self._scenario.id,), started_at=self._window.start,
            wall_ns=round(traffic.seconds * 1e9),
            canary=Canary(numpy_ns=None, graph_ns=None, reason="the clients are on machines of their own"),
            load=LoadNote(timer_lag=tuple(sorted(self._lag.items())), memory=Memory(peak_reason=ELSEWHERE)),
        )  # fmt: skip
        for event in (Launched(launch=launch), BlockDone(block=block, repetitions=())):
            self._keeper(event)
            for listener in self._listeners:
                listener(event)
        observed = self._store.load(self.run_id)
        status = RunStatus.PARTIAL if ended_early else RunStatus.COMPLETE
        observed = replace(observed, run=replace(observed.run, status=status, reason=ended_early))
        found = judge_load(observed, self._config)
        self._store.conclude(self.run_id, found.summaries, found.verdicts, found.targets)
        self._store.finish(
            self.run_id, status=RunStatus.FAILED if found.verdicts else status, ended_at=clock.wall(),
            conditions_at_end=self._equipment.observe(), reason=ended_early, notes=(*found.notes, *self._notes()),
        )  # fmt: skip
        data = self._store.load(self.run_id)
        code = exit_code(data.verdicts, data.targets, policy_of(self._config))
        return Finished(data=data, code=code if data.targets and not ended_early else ExitCode.MEASUREMENT)

    def _notes(self) -> tuple[str, ...]:
        lost = f"{self._silent} of the clients did not hand in their last report: some of their requests are missing"
        return (*([lost] if self._silent else []), *self._clock_notes())

    def _clock_notes(self) -> tuple[str, ...]:
        return tuple(
            f"client {client}: its clock or its reports are {apart:.1f} s away from the gatherer's: requests near "
            "the edges of the window may be on the wrong side of them"
            for client, apart in sorted(self._apart_s.items())
            if apart > APART_S
        )


def _silent(message: str) -> None:
    """The gatherer's terminal belongs to the tool that drives it."""
    del message
