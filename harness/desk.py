"""The client's side of a load that another tool drives: what one process asks, judges and hands in.

Requests, stamps, checks, texts and arrivals are those of `kokoro-bench load`; only who starts them is another. Nothing
here knows of Locust: `suites/locustfile.py` does.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from harness.clock import Clock, both_now
from harness.engines.endpoint import settle_dialect
from harness.engines.faults import EndpointFault
from harness.engines.line import Line
from harness.engines.protocol import SpeechRequest, Stages
from harness.engines.target import Target, check_format_known, read_address, read_settings
from harness.measure.arrivals import starts_of
from harness.measure.client import HEARTBEAT_S, unfinished
from harness.measure.judging import LAG_STEP_NS, Attempt, Judge, Programme, Served
from harness.plan.corpus import Corpus, seconds_per_character
from harness.plan.matrix import CROWD_TEXTS
from harness.records.repetition import Outcome, Repetition
from harness.records.scenario import Arm, Arrivals, Scenario, Traffic, Utterance

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
            scenario_id=scenario.id,
            # A server is told the language that the user has chosen, and no other.
            utterances=tuple(replace(each, language=scenario.language) for each in texts),
            band=seconds_per_character, voice=scenario.voice,
            speed=scenario.speed,
        )  # fmt: skip
        self._judge = Judge(self._programme, sample_rate=target.settings.sample_rate)
        self._judge.began_ns, self._judge.began_at = clock.now_ns(), clock.wall()
        self._begun = False
        self._lines: list[tuple[Line, Stages]] = []
        self._done: deque[Repetition] = deque()
        self._lag: Counter[int] = Counter()
        self._asked = 0
        self._coming = 0
        self._under_way = 0
        self._open: set[Line] = set()
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

    def line(self) -> tuple[Line, Stages]:
        """A listener's own connection, and the stamps of its making."""
        stages = Stages(self._clock)
        return Line(self._target.address, self._target.settings, clock=self._clock, stages=stages), stages

    def play(
        self,
        starts_ns: Sequence[int],
        *,
        sleep: Callable[[float], object],
        spawn: Callable[..., object],
        served: Callable[[Served, Utterance], None],
    ) -> None:
        """An open loop: a request at each of `starts_ns`, whatever became of those before; each `served` is told.

        Starts count from `begin`. Returns when the last has begun. `sleep` and `spawn` are those of the tool that
        drives the load.
        """
        began_ns = self._judge.began_ns

        def attend(number: int, intended_ns: int) -> None:
            served(*self._answer(listener=number, intended_ns=intended_ns))
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

    def _answer(self, *, listener: int, intended_ns: int) -> tuple[Served, Utterance]:
        """One request, as `ask`, over a connection that is free or, where there is none, a new one."""
        line, stages = self._lines.pop() if self._lines else self.line()
        try:
            return self.ask(line, stages, listener=listener, intended_ns=intended_ns)
        finally:
            self._lines.append((line, stages))

    def give_up(self) -> None:
        """End the requests that are open: they are unfinished. One that is still connecting takes another call."""
        self._given_up = True
        for line in list(self._open):
            line.interrupt()

    def wait_out(self, *, gives_up_ns: int, sleep: Callable[[float], object]) -> None:
        """Wait for the answers under way, until `gives_up_ns` on the clock at most; close the connections of `play`."""
        while self.asking:
            if self._clock.now_ns() >= gives_up_ns:
                self.give_up()
            sleep(LOOKING_S)
        self.close()

    def close(self) -> None:
        """Close the connections that `play` has made."""
        while self._lines:
            self._lines.pop()[0].close()

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
        self._under_way += 1
        self._open.add(line)
        try:
            for heard in pieces:
                served.heard.append(heard)
        except EndpointFault as fault:
            served.outcome = Outcome(kind=fault.kind, reason=str(fault), fault=fault.fault)
            if self._given_up:
                served.outcome = unfinished(exchange.answer.bytes)
        finally:
            self._open.discard(line)
            self._under_way -= 1
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
            "began": self._judge.began_at if self._begun else None,
        }
