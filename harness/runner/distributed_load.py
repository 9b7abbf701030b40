"""A run whose load comes from the processes of another tool (`harness.measure.load.external_client`).

Checks, metrics and events are those of `kokoro-bench load`. Only `suites/locustfile.py` depends on Locust.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from harness.analysis.conclude import Conclusions, policy_of
from harness.analysis.finished import Finished
from harness.analysis.load_targets import check_load, requested_traffic
from harness.core.errors import ExitCode, UsageError
from harness.core.records.repetition import (
    Block,
    Canary,
    EngineFacts,
    Launch,
    LoadNote,
    Phase,
    Repetition,
)
from harness.core.records.run import RunStatus
from harness.core.records.scenario import Arm, Arrivals, Mode, Scenario, Traffic
from harness.engines.http.server_process import find_server
from harness.engines.http.target import read_address, read_settings
from harness.measure.conductor.event_file import event_handlers_from
from harness.measure.conductor.events import BlockDone, Launched
from harness.measure.system.server_process import ServerWatch
from harness.metrics.derive import RunValues
from harness.plan.arms import endpoint_arm
from harness.plan.config import Config
from harness.plan.corpus import Corpus
from harness.plan.matrix import RunLimits, make_plan
from harness.runner.measurement import Ending, Session
from harness.runner.resources import Resources
from harness.store.runs import RunStore

APART_S = 0.5
"""If two machines' clocks differ by more (s), requests may be assigned to the wrong part of the window."""
BEGAN_APART_S = 0.1
"""If clients begin further apart than this (s), the load noticeably differs from the requested schedule."""
CUT_SHORT = "the load ended before its window did"
NOT_BEGUN = "the load did not begin: a client disconnected, or was not ready in time"
NAMED = ("rate", "ramp", "arrivals", "seconds", "warm_up", "cool_down", "drain", "listen")
"""The options of `kokoro-bench load` that such a load has too."""
PREPARING_S = 120.0
"""Time (s) within which all clients must be ready."""
STOP_S = 30.0
"""Time (s) to wait for the clients' last reports after the last answer could have arrived."""
SAMPLING_S = 0.1
"""Interval (s) between readings of the server's memory."""


def scenario_of(config: Config, arm: Arm, text_class: str, traffic: Traffic) -> Scenario:
    """The scenario of a load on the arm's server; each request has another text of the class.

    UsageError for two voices.
    """
    return Scenario(
        arm=arm,
        mode=Mode.ENDPOINT,
        text_class=text_class,
        voice=config.one_voice("a load by Locust"),
        language=config["language"],
        variant=None,
        traffic=traffic,
    )


def asked_scenario(config: Config, given: Mapping[str, Any], *, users: int) -> Scenario:
    """The scenario for options named like those of `kokoro-bench load`. Without a rate it is a closed loop of `users`.

    Raises UsageError for invalid options and for more than one load.
    """
    closed = not given.get("rate") and not given.get("ramp")
    loads = requested_traffic(
        {name: given.get(name) for name in NAMED}
        | {
            "listeners": str(users) if closed else None,  # codespell:ignore listeners
            "sweep": False,
        }
    )
    if len(loads) > 1:
        raise UsageError(
            "only one load is possible here", where="--rate, --ramp", remedy="name one; kokoro-bench load runs several"
        )
    return scenario_of(config, endpoint_arm(config), str(given.get("text_class") or "chars-200"), loads[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The measured part of the load, in seconds since the epoch."""

    start: float
    end: float

    def phase(self, started_at: float) -> Phase:
        """The phase of a request with this intended start."""
        if started_at < self.start:
            return Phase.WARMUP
        return Phase.MEASURED if started_at < self.end else Phase.COOLDOWN


class LoadCollector:
    """Collects the run of an external load: stores the clients' reports as they arrive, and analyses the run."""

    def __init__(
        self, config: Config, scenario: Scenario, store: RunStore, resources: Resources, *, clients: Sequence[str]
    ) -> None:
        """Store the head of the run. The load begins when all `clients` are ready. Raises EngineRefusal."""
        traffic = scenario.traffic
        assert traffic is not None  # noqa: S101 - for the type checker; `scenario_of` gives every scenario one
        self._config = config
        self._scenario = scenario
        self._resources = resources
        run_limits = RunLimits(
            budget_s=traffic.longest_s, launches=1, blocks=1, warmups=1, timeout_s=config["answer-timeout"],
            seed=config["seed"],
        )  # fmt: skip
        plan = make_plan([scenario], corpus=Corpus(), run_limits=run_limits, selection="load (locust)")
        self._session = Session(
            config=config, resources=resources, store=store, handlers=event_handlers_from(), report=_silent
        )
        self._recorder = self._session.begin(plan)
        self._traffic = traffic
        self._lag: Counter[int] = Counter()
        self._apart_s: dict[str, float] = {}
        self._began: dict[str, float] = {}
        """Client → when it began, in seconds since the epoch by its own clock."""
        address, settings = read_address(scenario.arm.url), read_settings(dict(scenario.arm.session_options))
        self._server = find_server(address, pid=settings.pid)
        self._watch = ServerWatch(self._server, interval_s=SAMPLING_S)
        self._ended: set[str] = set()
        self._watch.begin()
        self.clients = tuple(clients)
        """The names of the clients in their reports."""
        self._users = round(traffic.level) if traffic.arrivals is Arrivals.CLOSED else 0
        self._ready: dict[str, int] = {}
        """Ready client → the number of users that it has started. Locust's users do nothing in an open loop."""
        self._begun = False
        self._began_at = resources.clock.wall()
        self._charged_ns = 0

    def note_ready(self, client: str, users: int) -> bool:
        """Note that a client is ready and has started `users` users.

        The load begins when all clients are ready and all users of a closed loop have started. The call that begins it
        returns True, all others False.
        """
        self._ready[client] = users
        complete = self._ready.keys() >= set(self.clients) and sum(self._ready.values()) >= self._users
        if self._begun or not complete:
            return False
        self._begun = True
        self._began_at = self._resources.clock.wall()
        # Memory and CPU time before the load do not count.
        self._watch.end()
        self._watch.begin()
        self._charged_ns = 0
        return True

    def user_starts(self, per_second: float) -> dict[str, list[int]]:
        """Client → when each of its users sends its first request, in ns after the client's start.

        `per_second` users start per second at even intervals, and the clients take turns.
        """
        turns = sorted((turn, client) for client, users in self._ready.items() for turn in range(users))
        starts: dict[str, list[int]] = {client: [] for client in self._ready}
        for place, (_, client) in enumerate(turns):
            starts[client].append(round(place / per_second * 1e9))
        return starts

    def is_over(self, connected: int, *, waited_s: float) -> bool:
        """Whether the run is over: all clients have ended, or waiting longer is useless.

        `connected` is the number of connected clients, `waited_s` the time (s) since the run was created.
        """
        if self._ended >= set(self.clients):
            return True
        if not self._begun:
            return connected < len(self.clients) or waited_s > PREPARING_S
        return self._resources.clock.wall() - self._began_at > self._traffic.longest_s + STOP_S

    def _window(self, client: str = "") -> Window:
        """The window of a client by its own clock and start; without `client`, that of the client that began first."""
        began = self._began.get(client, min(self._began.values(), default=self._began_at))
        start = began + self._traffic.warm_up_s
        return Window(start=start, end=start + self._traffic.seconds)

    def _cut_short(self) -> str:
        """Why the load is incomplete, or "". Uses this process's clock; this process started before the clients."""
        if not self._begun:
            return NOT_BEGUN
        whole_s = self._traffic.warm_up_s + self._traffic.seconds
        return CUT_SHORT if self._resources.clock.wall() < self._began_at + whole_s else ""

    @property
    def run_id(self) -> str:
        return self._recorder.run_id

    def add(self, client: str, report: Mapping[str, Any]) -> None:
        """Store a client's report."""
        repetitions = msgspec.json.decode(report["repetitions"], type=list[Repetition])
        now = self._resources.clock.wall()
        self._apart_s[client] = max(self._apart_s.get(client, 0.0), abs(now - report["wall"]))
        for steps, times in report["lag"]:
            self._lag[steps] += times
        if report.get("began") is not None:
            self._began[client] = report["began"]
        window = self._window(client)
        placed = [
            # Only this process knows the total number of users.
            replace(each, scenario_id=self._scenario.id, launch=0, block=0, phase=window.phase(each.started_at))
            for each in repetitions
        ]
        if report.get("last"):
            self._ended.add(client)
        if placed:
            self._recorder.add_repetitions(self._charged(placed))

    def _charged(self, repetitions: Sequence[Repetition]) -> list[Repetition]:
        """Repetitions with the server's CPU time since the last call, divided by their seconds of audio.

        The total of a load is therefore correct, and repetitions can be stored as they arrive.
        """
        used_ns, spoken = self._watch.used_ns(), [sum(mark.frames for mark in each.chunks) for each in repetitions]
        if used_ns is None or not sum(spoken):
            return list(repetitions)
        due_ns, self._charged_ns = used_ns - self._charged_ns, used_ns
        return [
            replace(each, cpu_ns=round(due_ns * frames / sum(spoken)))
            for each, frames in zip(repetitions, spoken, strict=True)
        ]

    def finish(self) -> Finished:
        """Store the block, analyse the run and store its end. A load that ended within its window is partial."""
        memory, cpu_ns = self._watch.end()
        traffic = self._scenario.traffic
        window = self._window()
        ended_early = self._cut_short()
        assert traffic is not None  # noqa: S101 - for the type checker
        options = (
            ("clients", str(len(self._apart_s))), ("driver", "locust"), ("server_process", self._server.found),
            ("url", self._scenario.arm.url),
            ("clients_began_s", ", ".join(f"{apart:.6f}" for apart in self._beginnings())),
        )  # fmt: skip
        launch = Launch(
            arm_id=self._scenario.arm.id, launch=0, started_at=self._began_at,
            page_cache="unknown: the engine is a server", facts=EngineFacts(options=options),
        )  # fmt: skip
        block = Block(
            block=0, launch=0, order=(self._scenario.id,), started_at=window.start,
            wall_ns=round(traffic.seconds * 1e9),
            canary=Canary(numpy_ns=None, graph_ns=None, reason="the clients run on other machines"),
            load=LoadNote(timer_lag=tuple(sorted(self._lag.items())), memory=memory, server_cpu_ns=cpu_ns),
        )  # fmt: skip
        for event in (Launched(launch=launch), BlockDone(block=block, repetitions=())):
            self._session.emit(self._recorder, event)
        ended = Ending(status=RunStatus.PARTIAL if ended_early else RunStatus.COMPLETE, reason=ended_early)
        with self._session.end_stored(self._recorder):
            finished = self._session.finish(self._recorder, ended, self._concluded, policy_of(self._config))
        measured = bool(finished.data.targets) and not ended_early
        return finished if measured else replace(finished, code=ExitCode.MEASUREMENT)

    def _concluded(self, values: RunValues) -> Conclusions:
        found = check_load(values.data, self._config, derived=values)
        return replace(found, notes=(*found.notes, *self._notes()))

    def _beginnings(self) -> list[float]:
        """Seconds from the first client's start to each client's start."""
        began = sorted(self._began.values())
        return [each - began[0] for each in began]

    def _notes(self) -> tuple[str, ...]:
        silent = len(set(self.clients) - self._ended)
        lost = f"{silent} of the clients did not send their last report: some of their requests are missing"
        unseen = f"the server's memory and CPU time are not known: {self._server.found}"
        late = max(self._beginnings(), default=0.0)
        apart = f"clients began {late:.1f} s apart: the parts of the schedule are as far from one another"
        return (
            *([lost] if silent else []), *([unseen] if self._server.pid is None else []), *self._clock_notes(),
            *([apart] if late > BEGAN_APART_S else []),
        )  # fmt: skip

    def _clock_notes(self) -> tuple[str, ...]:
        return tuple(
            f"client {client}: its clock or its reports are {apart:.1f} s away from the master's: requests near "
            "the edges of the window may be on the wrong side of them"
            for client, apart in sorted(self._apart_s.items())
            if apart > APART_S
        )


def _silent(message: str) -> None:
    """Print nothing: the terminal belongs to the tool that drives the load."""
    del message
