"""The client's side of a load that another tool drives: what one process asks, judges and hands in.

Requests, stamps, checks, texts and arrivals are those of `kokoro-bench load`; only who starts them is another. Nothing
here knows of Locust: `suites/locustfile.py` does.
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
from harness.engines.speech import SpeechRequest
from harness.measure.load.arrivals import starts_of
from harness.measure.load.client import HEARTBEAT_S, unfinished
from harness.measure.load.records import LAG_STEP_NS, LoadRecord, RecordBuilder, RequestTrace, Workload
from harness.plan.corpus import Corpus, seconds_per_character
from harness.plan.matrix import CONCURRENT_TEXTS

MOST_CLIENTS = 100_003
"""More clients than a load ever has, so that no two pairs of seed and client draw the same arrivals."""

LOOKING_S = 0.05
"""Between two looks at whether all answers are there."""


def own_starts(traffic: Traffic, *, seed: int, client: int, clients: int) -> tuple[int, ...]:
    """One client's part of an open loop, in ns since its beginning: all parts together are the schedule. () if closed.

    Clients take turns, so that each has an even rate where the schedule has one. For Poisson arrivals each client draws
    an independent process at its share of the rate: the superposition is a Poisson process at the whole rate, no matter
    how far apart the clients begin. Every n-th arrival of one process has gaps that are not exponential.
    """
    if traffic.arrivals is Arrivals.CLOSED:
        return ()
    if traffic.arrivals is Arrivals.POISSON and clients > 1:
        return starts_of(replace(traffic, level=traffic.level / clients), seed=seed * MOST_CLIENTS + client)
    return starts_of(traffic, seed=seed)[client::clients]


def texts_of(text_class: str, *, client: int = 0) -> tuple[Utterance, ...]:
    """The texts of a class, as many as there are; every client begins elsewhere, so that not all ask for the same."""
    texts = Corpus().at_most(text_class, CONCURRENT_TEXTS)
    first = client * 137 % len(texts)
    return (*texts[first:], *texts[:first])


def settle(arm: Arm, *, clock: Clock) -> Target:
    """Reach the server and find out its dialect. EngineRefusal, EndpointFault."""
    address, settings = read_address(arm.url), read_settings(dict(arm.session_options))
    connection = Connection(address, replace(settings, keep_alive=False), clock=clock, stages=Stages(clock))
    dialect, _ = settle_dialect(address, settings, connection)
    check_format_known(dialect, settings)
    return Target(address=address, settings=settings, dialect=dialect)


class ExternalClient:
    """The client's side of one process: `ask` for each listener, `judge` each answer aside, `drain` the records."""

    def __init__(self, target: Target, scenario: Scenario, texts: Sequence[Utterance], *, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._workload = Workload(
            scenario_id=scenario.id,
            # A server is told the language that the user has chosen, and no other.
            utterances=tuple(replace(each, language=scenario.language) for each in texts),
            band=seconds_per_character, voice=scenario.voice,
            speed=scenario.speed,
        )  # fmt: skip
        self._judge = RecordBuilder(self._workload, sample_rate=target.settings.sample_rate)
        self._judge.began_ns, self._judge.began_at = clock.now_ns(), clock.wall()
        self._begun = False
        self._connections: list[tuple[Connection, Stages]] = []
        self._done: deque[Repetition] = deque()
        self._lag: Counter[int] = Counter()
        self._asked = 0
        self._coming = 0
        self._under_way = 0
        self._open: set[Connection] = set()
        self._given_up = False

    def begin(self) -> int:
        """Begin the load now. Returns the moment in ns on the clock."""
        self._begun = True
        self._judge.began_ns, self._judge.began_at = both_now(self._clock)
        return self._judge.began_ns

    @property
    def asking(self) -> int:
        """Requests that have begun, or are about to, and have no end yet."""
        return max(self._coming, self._under_way)

    @property
    def sample_rate(self) -> int:
        """Of the audio, in Hz."""
        return self._target.settings.sample_rate

    def connection(self) -> tuple[Connection, Stages]:
        """A listener's own connection, and the stamps of its making."""
        stages = Stages(self._clock)
        return Connection(self._target.address, self._target.settings, clock=self._clock, stages=stages), stages

    def play(
        self,
        starts_ns: Sequence[int],
        *,
        sleep: Callable[[float], object],
        spawn: Callable[..., object],
        trace: Callable[[RequestTrace, Utterance], None],
    ) -> None:
        """An open loop: a request at each of `starts_ns`, whatever became of those before; each `trace` is told.

        Starts count from `begin`. Returns when the last has begun. `sleep` and `spawn` are those of the tool that
        drives the load.
        """
        began_ns = self._judge.began_ns

        def attend(number: int, intended_ns: int) -> None:
            trace(*self._answer(user=number, intended_ns=intended_ns))
            self._coming -= 1

        for number, start_ns in enumerate(starts_ns):
            intended_ns = began_ns + start_ns
            sleep(max(0.0, (intended_ns - self._clock.now_ns()) / 1e9))
            self._coming += 1
            spawn(attend, number, intended_ns)

    def keep_time(self, sleep: Callable[[float], object]) -> None:
        """A timer of our own, for ever: as late as it comes, so late may every stamp be."""
        due_ns = self._clock.now_ns()
        while True:
            due_ns += round(HEARTBEAT_S * 1e9)
            sleep(max(0.0, (due_ns - self._clock.now_ns()) / 1e9))
            now_ns = self._clock.now_ns()
            self.beat(max(0, now_ns - due_ns))
            due_ns = max(due_ns, now_ns - round(HEARTBEAT_S * 1e9))

    def _answer(self, *, user: int, intended_ns: int) -> tuple[RequestTrace, Utterance]:
        """One request, as `ask`, over a connection that is free or, where there is none, a new one."""
        connection, stages = self._connections.pop() if self._connections else self.connection()
        try:
            return self.ask(connection, stages, user=user, intended_ns=intended_ns)
        finally:
            self._connections.append((connection, stages))

    def give_up(self) -> None:
        """End the requests that are open: they are unfinished. One that is still connecting takes another call."""
        self._given_up = True
        for connection in list(self._open):
            connection.interrupt()

    def wait_out(self, *, gives_up_ns: int, sleep: Callable[[float], object]) -> None:
        """Wait for the answers under way, until `gives_up_ns` on the clock at most; close the connections of `play`."""
        while self.asking:
            if self._clock.now_ns() >= gives_up_ns:
                self.give_up()
            sleep(LOOKING_S)
        self.close()

    def close(self) -> None:
        """Close the connections that `play` has made."""
        while self._connections:
            self._connections.pop()[0].close()

    def beat(self, lateness_ns: int) -> None:
        """How late the process's timer came."""
        self._lag[round(lateness_ns / LAG_STEP_NS)] += 1

    def ask(
        self, connection: Connection, stages: Stages, *, user: int, intended_ns: int
    ) -> tuple[RequestTrace, Utterance]:
        """One request, to its end. Faults are outcomes. Blocks as sockets do."""
        trace = RequestTrace(number=self._asked, user=user, intended_ns=intended_ns, ready_ns=intended_ns)
        self._asked += 1
        utterance = self._workload.utterance(trace.number)
        trace.sent_ns = self._clock.now_ns()
        request = SpeechRequest(
            text=utterance.text, voice=self._workload.voice, speed=self._workload.speed,
            language=utterance.language, stream=True,
        )  # fmt: skip
        exchange, pieces = connection.send(self._target.ask(request))
        self._under_way += 1
        self._open.add(connection)
        try:
            for heard in pieces:
                trace.heard.append(heard)
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

    def judge(self, trace: RequestTrace, utterance: Utterance) -> LoadRecord:
        """Check what came, and keep its record until it is drained. May be called from any thread."""
        load_record = self._judge(trace, utterance)
        self._done.append(load_record.repetition)
        return load_record

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
            "began": self._judge.began_at if self._begun else None,
        }
