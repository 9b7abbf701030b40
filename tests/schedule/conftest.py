"""A schedule on a scripted clock: nights that take no time, and runs that are written by hand."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import ScriptedClock
from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import Launch, LoadedSoftware
from harness.core.records.run import RunData, RunRecord, RunStatus, Setting
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.core.records.schedule import SchedulerInstance
from harness.core.records.verdict import REPLAYED, Estimate, Summary, TargetResult, Verdict, VerdictKind
from harness.plan.config import Config, load_config
from harness.schedule.daemon import Daemon, DaemonContext
from harness.schedule.endings import Acceptances, policy_of
from harness.schedule.job import Job, Settings
from harness.schedule.job_store import JobStore
from harness.schedule.launcher import Exit, Order
from harness.schedule.notifiers import Channel, Message
from harness.schedule.outbox import Outbox
from harness.schedule.post_run import PostRunActions
from harness.schedule.retention import Retention
from harness.store.runs import RunStore, open_store

MACHINE = Machine(
    key="two-core", system="linux", architecture="x86_64", cpu="cpu", logical_cpus=2, physical_cpus=1, memory=2**33
)
SCENARIO = Scenario(
    arm=Arm(engine="kokoro", model=ModelVariant(name="replica", sha256="ab" * 32, size=1, origin="replica")),
    mode=Mode.WHOLE,
    text_class="chars-60",
    voice="af_heart",
)
START = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


@dataclass(slots=True)
class Clock(ScriptedClock):
    """A scripted clock whose wall can be set, as a person or a time server sets one."""

    epoch: float = START

    def to(self, wall: float) -> None:
        self.sleep(wall - self.wall())

    def set(self, by: float) -> None:
        self.epoch += by


@dataclass(slots=True)
class FakeProcess:
    """A run that ends when the test says so, or at once."""

    number: int
    order: Order
    ends: Exit | None = None
    gone: bool = False
    asked: int = 0
    killed: int = 0
    on_go: Callable[["FakeProcess"], None] | None = None

    @property
    def pid(self) -> int:
        return self.number

    def go(self) -> None:
        self.gone = True
        if self.on_go:
            self.on_go(self)

    def poll(self) -> Exit | None:
        return self.ends

    def terminate(self) -> None:
        self.asked += 1

    def kill(self) -> None:
        self.killed += 1


@dataclass(slots=True)
class FakeLauncher:
    """Starts fake processes, and remembers them."""

    on_go: Callable[[FakeProcess], None] | None = None
    started: list[FakeProcess] = field(default_factory=list)
    adoptable: dict[int, FakeProcess] = field(default_factory=dict)
    count: int = 0

    def start(self, order: Order) -> FakeProcess:
        self.count += 1
        process = FakeProcess(number=100_000 + self.count, order=order, on_go=self.on_go)
        self.started = [*self.started[-9:], process]
        return process

    def adopt(self, pid: int, _started_at: float) -> FakeProcess | None:
        return self.adoptable.get(pid)


@dataclass(slots=True)
class Bench:
    """A daemon with everything around it scripted."""

    store: RunStore
    job_store: JobStore
    clock: Clock
    launcher: FakeLauncher
    config: Config
    said: list[str] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)
    busy: str = ""
    settings: Settings = field(default_factory=Settings)
    promoted: set[str] = field(default_factory=set)
    daemon: Daemon = field(init=False)

    def __post_init__(self) -> None:
        self.daemon = self.new_daemon()

    def new_daemon(self, runner: str = "here") -> Daemon:
        """What a new start of the scheduler is."""
        journal = self.store.journal()
        retention = Retention(
            store=self.store,
            settings=self.settings,
            machine_key=MACHINE.key,
            runner=runner,
            promoted=lambda: frozenset(self.promoted),
        )
        post_run = PostRunActions(
            store=self.store,
            journal=journal,
            machine_key=MACHINE.key,
            outbox=Outbox(
                journal=journal,
                channels=[Channel(name="test", key="test", send=self.told.append)],
                say=self.said.append,
            ),
            promote=self._promote,
            publish=lambda: None,
            link_of=lambda run_id: f"https://bench.example/runs/{run_id}.html",
            retention=retention,
            say=self.said.append,
            policy=policy_of(self.config),
            accepted=Acceptances(self.store, self.config.baselines),
        )
        return Daemon(
            DaemonContext(
                config=self.config,
                settings=self.settings,
                store=self.store,
                journal=journal,
                job_store=self.job_store,
                post_run=post_run,
                launcher=self.launcher,
                clock=self.clock,
                busy=lambda: self.busy,
                say=self.said.append,
                instance=SchedulerInstance(
                    runner=runner, pid=1, host="host", boot="boot-1", since=START, seen_at=START, doing=""
                ),
                machine_key=MACHINE.key,
                logs=self.config.root / "logs",
            )
        )

    def _promote(self, data: RunData) -> int:
        self.promoted.add(data.run.id)
        return 1

    def put(self, **job: Any) -> None:
        """Declare a job. Unless it says otherwise, no duel confirms what it finds."""
        defaults = {"name": "nightly", "cron": "30 2 * * *", "confirm_s": 0.0}
        self.job_store.put(Job(**{**defaults, **job}), now=self.clock.wall(), origin="file")

    def at(self, wall: float) -> None:
        """Go to a time and let the daemon do what is to be done, as it would have on the way."""
        self.clock.to(wall)
        self.daemon.step()
        self.daemon.step()

    def begin(self, process: FakeProcess, run_id: str) -> None:
        """The run says that it is in the store."""
        process.order.events.write_text(json.dumps({"at": 0.0, "event": "begun", "run_id": run_id}) + "\n")

    def fires(self, **question: Any) -> list[Any]:
        return list(reversed(self.store.journal().fires(runner="here", **question)))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(start=tmp_path, environment={})


@pytest.fixture
def bench(tmp_path: Path, config: Config) -> Iterator[Bench]:
    with open_store(tmp_path / "results.sqlite") as store, JobStore(store.journal(), "here") as job_store:
        yield Bench(store=store, job_store=job_store, clock=Clock(), launcher=FakeLauncher(), config=config)


def make_run(store: RunStore, *, at: float, median: float = 1.0, **changes: Any) -> str:
    """Store a finished run with one figure. `verdict`, `status` and `targets` as given; `half`: of its interval."""
    kind = changes.pop("verdict", VerdictKind.NO_BASELINE)
    size, half = changes.pop("size", 0.0), changes.pop("half", None)
    status = changes.pop("status", RunStatus.COMPLETE)
    source: str = changes.pop("source", "")
    reference: str = changes.pop("reference", "")
    accepted: str = changes.pop("accepted", "")
    gates, waiver = changes.pop("gates", True), changes.pop("waiver", None)
    targets: tuple[TargetResult, ...] = changes.pop("targets", ())
    record = RunRecord(
        id=f"run-{int(at)}",
        started_at=at,
        seed=1,
        selection="nightly",
        machine=MACHINE,
        conditions=Conditions(taken_at=at),
        subject=Subject(),
        setting=Setting(corpus="", protocol=1),
        scenarios=(SCENARIO,),
        budget_s=60.0,
        pid=0,
        boot="boot-1",
    )
    run_id = store.begin(replace(record, **changes))
    if source:
        software = LoadedSoftware(engine_version="1", engine_source=source, interpreter="CPython 3.11.7")
        launch = Launch(arm_id=SCENARIO.arm.id, launch=0, started_at=at, page_cache="warm", software=software)
        store.add_launch(run_id, launch)
    low, high = size - (half or 0.01), size + (half or 0.01)
    change = Estimate(point=size, low=low, high=high, level=0.99, method="made", n=12, launches=3)
    compared = kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.UNCHANGED)
    compared = compared or half is not None or reference.startswith(REPLAYED)
    verdict = Verdict(
        scenario_id=SCENARIO.id,
        metric="latency",
        kind=kind,
        change=change if compared else None,
        tolerance=0.03,
        suspects=("onnxruntime 1.30 → 1.31",) if kind is VerdictKind.REGRESSED else (),
        gates=gates,
        reference=reference,
        accepted=accepted,
        waiver=waiver if kind is VerdictKind.REGRESSED else None,
    )
    summary = Summary(scenario_id=SCENARIO.id, metric="latency", definition=1, n=12, median=median)
    store.conclude(run_id, [summary], [verdict], targets)
    store.finish(run_id, status=status, ended_at=at + 30)
    return run_id


@pytest.fixture(name="make_run")
def _make_run() -> Callable[..., str]:
    return make_run
