"""The client's part of a load that another tool drives: one process sends requests and returns their records.

Requests, stamps, checks, texts and arrivals are those of `kokoro-bench load`; only the driver differs. This module does
not depend on Locust; `suites/locustfile.py` does.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from harness.core.clock import Clock, both_now
from harness.core.records.repetition import Outcome, Repetition
from harness.core.records.scenario import Arm, Arrivals, Scenario, Traffic, Utterance
from harness.engines.http.connection import Connection
from harness.engines.http.engine import settle_dialect
from harness.engines.http.errors import EndpointFault
from harness.engines.http.target import Target, check_format_known, read_address, read_settings
from harness.engines.protocol import Stages
from harness.measure.load.arrivals import starts_of
from harness.measure.load.client import HEARTBEAT_S, unfinished
from harness.measure.load.records import LAG_STEP_NS, LoadRecord, RecordBuilder, RequestTrace, Workload
from harness.plan.corpus import Corpus, seconds_per_character, text_language
from harness.plan.matrix import CONCURRENT_TEXTS

MOST_CLIENTS = 100_003
"""More clients than a load ever has, so that no two pairs of seed and client draw the same arrivals."""

POLL_S = 0.05
"""Seconds between two checks whether all answers have come."""


def own_starts(traffic: Traffic, *, seed: int, client: int, clients: int) -> tuple[int, ...]:
    """One client's part of an open loop, in ns since its beginning; () for a closed loop. All parts form the schedule.

    Starts are dealt to the clients in rotation, so that each has an even rate if the schedule has one. For Poisson
    arrivals each client draws an independent process at its share of the rate. Their superposition is a Poisson process
    at the whole rate, whatever the offsets between the clients' beginnings. Dealing one Poisson process in rotation
    would give gaps that are not exponential.
    """
    if traffic.arrivals is Arrivals.CLOSED:
        return ()
    if traffic.arrivals is Arrivals.POISSON and clients > 1:
        return starts_of(replace(traffic, level=traffic.level / clients), seed=seed * MOST_CLIENTS + client)
    return starts_of(traffic, seed=seed)[client::clients]


def texts_of(scenario: Scenario, *, client: int = 0) -> tuple[Utterance, ...]:
    """The texts of a scenario. Every client begins at another text, so that they do not all request the same."""
    texts = Corpus(language=text_language(scenario)).at_most(scenario.text_class, CONCURRENT_TEXTS)
    first = client * 137 % len(texts)
    return (*texts[first:], *texts[:first])


def resolve_target(arm: Arm, *, clock: Clock) -> Target:
    """Connect to the server and detect its dialect. Raises EngineRefusal or EndpointFault."""
    address, settings = read_address(arm.url), read_settings(dict(arm.session_options))
    connection = Connection(address, replace(settings, keep_alive=False), clock=clock, stages=Stages(clock))
    dialect, _ = settle_dialect(address, settings, connection)
    check_format_known(dialect, settings)
    return Target(address=address, settings=settings, dialect=dialect)


class ExternalClient:
    """The client of one process: `send` requests of users, `record` answers in a thread, `drain` the records."""

    def __init__(self, target: Target, scenario: Scenario, texts: Sequence[Utterance], *, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._workload = Workload(
            scenario_id=scenario.id,
            # A server gets only the language that the user has chosen.
            utterances=tuple(replace(each, language=scenario.language) for each in texts),
            band=seconds_per_character, voice=scenario.voice,
            speed=scenario.speed,
        )  # fmt: skip
        self._build_record = RecordBuilder(self._workload, sample_rate=target.settings.sample_rate)
        self._build_record.began_ns, self._build_record.began_at = clock.now_ns(), clock.wall()
        self._begun = False
        self._connections: list[tuple[Connection, Stages]] = []
        self._done: deque[Repetition] = deque()
        self._lag: Counter[int] = Counter()
        self._asked = 0
        self._starting = 0
        self._under_way = 0
        self._open: set[Connection] = set()
        self._given_up = False

    def begin(self) -> int:
        """Begin the load now. Return the time in ns on the clock."""
        self._begun = True
        self._build_record.began_ns, self._build_record.began_at = both_now(self._clock)
        return self._build_record.began_ns

    @property
    def open_requests(self) -> int:
        """The number of requests that are starting or open."""
        return max(self._starting, self._under_way)

    @property
    def sample_rate(self) -> int:
        return self._target.settings.sample_rate

    def connection(self) -> tuple[Connection, Stages]:
        """A new connection for a user, and the stamps of its opening."""
        stages = Stages(self._clock)
        return Connection(self._target.address, self._target.settings, clock=self._clock, stages=stages), stages

    def run_open_loop(
        self,
        starts_ns: Sequence[int],
        *,
        sleep: Callable[[float], object],
        spawn: Callable[..., object],
        trace: Callable[[RequestTrace, Utterance], None],
    ) -> None:
        """Run an open loop: start a request at each of `starts_ns`, counted from `begin`, and call `trace` at its end.

        Return when the last request has started. `sleep` and `spawn` are those of the tool that drives the load.
        """
        began_ns = self._build_record.began_ns

        def send_one(number: int, intended_ns: int) -> None:
            trace(*self._answer(user=number, intended_ns=intended_ns))
            self._starting -= 1

        for number, start_ns in enumerate(starts_ns):
            intended_ns = began_ns + start_ns
            sleep(max(0.0, (intended_ns - self._clock.now_ns()) / 1e9))
            self._starting += 1
            spawn(send_one, number, intended_ns)

    def measure_timer_lag(self, sleep: Callable[[float], object]) -> None:
        """Measure the lag of a timer, without end: every stamp may be as late as the timer."""
        due_ns = self._clock.now_ns()
        while True:
            due_ns += round(HEARTBEAT_S * 1e9)
            sleep(max(0.0, (due_ns - self._clock.now_ns()) / 1e9))
            now_ns = self._clock.now_ns()
            self.note_timer_lag(max(0, now_ns - due_ns))
            due_ns = max(due_ns, now_ns - round(HEARTBEAT_S * 1e9))

    def _answer(self, *, user: int, intended_ns: int) -> tuple[RequestTrace, Utterance]:
        """Send one request over a free connection or a new one."""
        connection, stages = self._connections.pop() if self._connections else self.connection()
        try:
            return self.send(connection, stages, user=user, intended_ns=intended_ns)
        finally:
            self._connections.append((connection, stages))

    def give_up(self) -> None:
        """End all open requests as unfinished. A request that is still connecting needs another call."""
        self._given_up = True
        for connection in list(self._open):
            connection.interrupt()

    def await_answers(self, *, gives_up_ns: int, sleep: Callable[[float], object]) -> None:
        """Wait for open requests until `gives_up_ns` on the clock, then close the connections of `run_open_loop`."""
        while self.open_requests:
            if self._clock.now_ns() >= gives_up_ns:
                self.give_up()
            sleep(POLL_S)
        self.close()

    def close(self) -> None:
        """Close the connections of `run_open_loop`."""
        while self._connections:
            self._connections.pop()[0].close()

    def note_timer_lag(self, lateness_ns: int) -> None:
        self._lag[round(lateness_ns / LAG_STEP_NS)] += 1

    def send(
        self, connection: Connection, stages: Stages, *, user: int, intended_ns: int
    ) -> tuple[RequestTrace, Utterance]:
        """Send one request and block until its end. Faults are outcomes."""
        trace = RequestTrace(number=self._asked, user=user, intended_ns=intended_ns, ready_ns=intended_ns)
        self._asked += 1
        utterance = self._workload.utterance(trace.number)
        trace.sent_ns = self._clock.now_ns()
        exchange, chunks = connection.send(self._target.http_request(self._workload.request(utterance)))
        self._under_way += 1
        self._open.add(connection)
        try:
            for chunk in chunks:
                trace.chunks.append(chunk)
        except EndpointFault as fault:
            trace.outcome = Outcome(kind=fault.kind, reason=str(fault), fault=fault.fault)
            if self._given_up:
                trace.outcome = unfinished(exchange.answer.bytes)
        finally:
            self._open.discard(connection)
            self._under_way -= 1
        trace.first_byte_ns = exchange.answer.first_byte_ns
        trace.end_ns = exchange.answer.end_ns or self._clock.now_ns()
        trace.connect = next(((start, end) for name, start, end in stages.take() if name == "connect"), None)
        return trace, utterance

    def record(self, trace: RequestTrace, utterance: Utterance) -> LoadRecord:
        """Validate an answer and keep its record for `drain`. May be called from any thread."""
        load_record = self._build_record(trace, utterance)
        self._done.append(load_record.repetition)
        return load_record

    def drain(self) -> dict[str, Any]:
        """The records since the last call, in types that can be serialised."""
        # One by one, because another thread may add meanwhile; without a lock, because gevent replaces locks.
        done = []
        while self._done:
            done.append(self._done.popleft())
        lag, self._lag = self._lag, Counter()
        return {
            "repetitions": msgspec.json.encode(done),
            "lag": sorted(lag.items()),
            "wall": self._clock.wall(),
            "began": self._build_record.began_at if self._begun else None,
        }
