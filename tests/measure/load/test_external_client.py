"""The client's side of a load that another tool drives, in scripted time: stamps, counts and ends that are known."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from harness.core.clock import SCRIPTED_EPOCH, ScriptedClock
from harness.core.records.repetition import Outcome, OutcomeKind, Repetition, StageMark
from harness.core.records.scenario import Arm, Arrivals, Mode, Scenario, Traffic, Utterance
from harness.engines.http.dialects import OPENAI, RAYCAST
from harness.engines.http.errors import EndpointFault, Fault
from harness.engines.http.exchange import AudioChunk, Exchange
from harness.engines.http.request import Address, HttpRequest
from harness.engines.http.target import Settings, Target, read_address, read_settings
from harness.engines.protocol import Stages
from harness.engines.speech import EngineRefusal
from harness.measure.load.arrivals import starts_of
from harness.measure.load.external_client import (
    MOST_CLIENTS,
    POLL_S,
    ExternalClient,
    own_starts,
    resolve_target,
    texts_of,
)
from tests.measure.load.scripted_time import MS, halves, head, spoken

if TYPE_CHECKING:
    from harness.measure.load.records import RequestTrace

TEXTS = tuple(
    Utterance(text_class="chars-12", variant=n, text=text) for n, text in enumerate(("First text.", "And another."))
)
ASKED = Scenario(
    arm=Arm(engine="endpoint", provider="", url="http://server.test:8880"), mode=Mode.ENDPOINT, text_class="chars-12",
    voice="af_heart", speed=1.02, language="fr",
)  # fmt: skip
FAULT = EndpointFault(Fault.CLOSED, "the connection was closed")
Piece = bytes | EndpointFault


class ScriptedLine:
    """A connection that gives every request the same answer, 10 ms after it has connected."""

    reply: Sequence[tuple[float, Piece]] = halves(TEXTS[0].text, 50, 80)
    made: list["ScriptedLine"]
    meanwhile: Callable[[], object] = staticmethod(lambda: None)
    """Done while the answer is under way."""

    def __init__(self, address: Address, settings: Settings, *, clock: ScriptedClock, stages: Stages) -> None:
        self._address, self.settings, self._clock, self._stages = address, settings, clock, stages
        self.connected = self.interrupted = self.closed = False
        self.asked: list[HttpRequest] = []
        self.made.append(self)

    def send(self, ask: HttpRequest) -> tuple[Exchange, Iterator[AudioChunk]]:
        self.asked.append(ask)
        exchange = Exchange(address=self._address, request=ask)
        exchange.request_bytes()
        return exchange, self._carry_out(exchange)

    def _carry_out(self, exchange: Exchange) -> Iterator[AudioChunk]:
        begun_ns = self._clock.now_ns()
        if not self.connected:
            self.connected = True
            with self._stages.stage("connect"):
                self._clock.sleep(0.01)
        for wait_ms, piece in self.reply:
            self._clock.sleep((begun_ns + wait_ms * MS - self._clock.now_ns()) / 1e9)
            if isinstance(piece, EndpointFault):
                raise piece
            yield from exchange.receive(piece, self._clock.now_ns())
            self.meanwhile()

    def interrupt(self) -> None:
        self.interrupted = True

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> list[ScriptedLine]:
    monkeypatch.setattr(ScriptedLine, "made", [], raising=False)
    monkeypatch.setattr("harness.measure.load.external_client.Connection", ScriptedLine)
    return ScriptedLine.made


@pytest.fixture
def clock() -> ScriptedClock:
    return ScriptedClock(elapsed_ns=7 * MS)


@pytest.fixture
def client(clock: ScriptedClock) -> ExternalClient:
    target = Target(address=read_address(ASKED.arm.url), settings=read_settings({"dialect": "openai"}), dialect=OPENAI)
    return ExternalClient(target, ASKED, TEXTS, clock=clock)


def drained(client: ExternalClient) -> list[Repetition]:
    return msgspec.json.decode(client.drain()["repetitions"], type=list[Repetition])


def asked(client: ExternalClient, clock: ScriptedClock, line: Any = None) -> Repetition:
    connection = line or client.connection()
    return client.record(*client.send(*connection, user=3, intended_ns=clock.now_ns())).repetition


class TestRequests:
    def test_every_stamp_counts_from_the_intended_start(self, client: ExternalClient, clock: ScriptedClock) -> None:
        assert client.begin() == 7 * MS
        intended_ns = clock.now_ns() + 100 * MS
        clock.sleep(0.102)
        load_record = client.record(*client.send(*client.connection(), user=3, intended_ns=intended_ns))
        found = load_record.repetition
        assert (load_record.user, load_record.intended_ns, load_record.waited_ns, load_record.lag_ns) == (
            3,
            100 * MS,
            0,
            2 * MS,
        )
        assert found.started_at == pytest.approx(SCRIPTED_EPOCH + 0.107, abs=1e-6)
        assert found.stages == (StageMark(stage="connect", start_ns=2 * MS, end_ns=12 * MS),)
        assert (found.first_byte_ns, found.end_ns, found.lag_ns) == (52 * MS, 82 * MS, 2 * MS)
        assert [chunk.at_ns for chunk in found.chunks] == [52 * MS, 82 * MS]
        assert sum(chunk.frames for chunk in found.chunks) == len(spoken(TEXTS[0].text)) // 2
        assert (found.scenario_id, found.position, found.variant, found.characters) == (ASKED.id, 0, 0, 11)
        assert found.outcome.valid

    def test_texts_take_turns_and_a_kept_connection_is_not_made_again(
        self, client: ExternalClient, clock: ScriptedClock, lines: list[ScriptedLine]
    ) -> None:
        connection = client.connection()
        found = [asked(client, clock, connection) for _ in range(3)]
        assert [(each.position, each.variant, len(each.stages)) for each in found] == [(0, 0, 1), (1, 1, 0), (2, 0, 0)]
        bodies = [json.loads(ask.body) for ask in lines[0].asked]
        assert [body["input"] for body in bodies] == ["First text.", "And another.", "First text."]
        assert {(body["voice"], body["speed"], body["stream"], body["lang_code"]) for body in bodies} == {
            ("af_heart", 1.02, True, "fr")
        }
        assert drained(client) == found
        assert drained(client) == []

    def test_a_fault_is_an_outcome_with_what_was_heard_before(
        self, client: ExternalClient, clock: ScriptedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ScriptedLine, "reply", (*halves(TEXTS[0].text, 50, 80)[:1], (70, FAULT)))
        found = asked(client, clock)
        assert found.outcome == Outcome(kind=OutcomeKind.ERROR, reason="the connection was closed", fault="closed")
        assert (found.first_byte_ns, found.end_ns, len(found.chunks)) == (50 * MS, 70 * MS, 1)
        assert client.open_requests == 0

    def test_what_fails_before_it_is_connected_has_no_stage_and_an_end(
        self, client: ExternalClient, clock: ScriptedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ScriptedLine, "reply", ((30, FAULT),))
        line = client.connection()
        line[0].connected = True  # type: ignore[attr-defined]
        found = asked(client, clock, line)
        assert (found.stages, found.first_byte_ns, found.end_ns) == ((), None, 30 * MS)


class TestPlaying:
    def test_requests_begin_at_their_time_whatever_became_of_others_over_lines_that_are_free(
        self, client: ExternalClient, clock: ScriptedClock, lines: list[ScriptedLine]
    ) -> None:
        trace: list[RequestTrace] = []
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            clock.sleep(seconds)

        began_ns = client.begin()
        client.run_open_loop(
            [0, 200 * MS, 230 * MS], sleep=sleep, spawn=lambda start, *given: start(*given),
            trace=lambda one, _: trace.append(one),
        )  # fmt: skip
        assert [each.intended_ns - began_ns for each in trace] == [0, 200 * MS, 230 * MS]
        assert [each.user for each in trace] == [0, 1, 2]
        # The last was due while the second was still under way: here, where all is done in turn, it comes late.
        assert waits == pytest.approx([0.0, 0.12, 0.0])
        assert [each.sent_ns - each.intended_ns for each in trace] == [0, 0, 50 * MS]
        assert len(lines) == 1, "each found the line of the one before free"
        assert client.open_requests == 0
        assert not lines[0].closed
        client.close()
        assert lines[0].closed
        asked(client, clock)
        assert len(lines) == 2

    def test_those_that_have_not_begun_count_as_asking(self, client: ExternalClient, clock: ScriptedClock) -> None:
        spawned: list[Callable[[], object]] = []
        client.begin()
        client.run_open_loop(
            [0, 0], sleep=clock.sleep, spawn=lambda start, *given: spawned.append(lambda: start(*given)),
            trace=lambda *_: None,
        )  # fmt: skip
        assert client.open_requests == 2
        spawned.pop()()
        assert client.open_requests == 1
        spawned.pop()()
        assert client.open_requests == 0

    def test_one_that_is_asked_for_directly_counts_while_it_is_under_way(
        self, client: ExternalClient, clock: ScriptedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[int] = []
        monkeypatch.setattr(ScriptedLine, "meanwhile", staticmethod(lambda: seen.append(client.open_requests)))
        assert client.open_requests == 0
        asked(client, clock)
        assert (seen, client.open_requests) == ([1, 1], 0)

    def test_what_is_given_up_is_unfinished(
        self, client: ExternalClient, clock: ScriptedClock, lines: list[ScriptedLine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ScriptedLine, "reply", (*halves(TEXTS[0].text, 50, 80)[:1], (70, FAULT)))
        monkeypatch.setattr(ScriptedLine, "meanwhile", staticmethod(client.give_up))
        found = asked(client, clock)
        came = len(spoken(TEXTS[0].text)) // 4 * 2
        assert found.outcome == Outcome(
            kind=OutcomeKind.UNFINISHED,
            reason=f"not complete when waiting for answers ended; {came} bytes of body had come",
        )
        assert lines[0].interrupted
        client.connection()
        client.give_up()
        assert not lines[1].interrupted, "only those that are open"

    def test_answers_are_waited_for_until_the_last_or_the_end_and_lines_closed(
        self, client: ExternalClient, clock: ScriptedClock, lines: list[ScriptedLine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spawned: list[Callable[[], object]] = []
        given_up: list[int] = []
        monkeypatch.setattr(client, "give_up", lambda: given_up.append(clock.now_ns()))
        began_ns = client.begin()
        client.run_open_loop(
            [0], sleep=clock.sleep, spawn=lambda start, *given: spawned.append(lambda: start(*given)),
            trace=lambda *_: None,
        )  # fmt: skip

        def sleep(seconds: float) -> None:
            assert seconds == POLL_S == 0.05
            clock.sleep(seconds)
            if clock.now_ns() >= began_ns + 200 * MS and spawned:
                spawned.pop()()

        client.await_answers(gives_up_ns=began_ns + 100 * MS, sleep=sleep)
        # It is told again at every look until it is over.
        assert given_up == [began_ns + 100 * MS, began_ns + 150 * MS]
        assert [line.closed for line in lines] == [True]
        client.await_answers(gives_up_ns=0, sleep=sleep)
        assert len(given_up) == 2, "nothing is given up where nothing is open"


class TestReaching:
    refusal = json.dumps({"detail": [{"type": "missing", "loc": ["body", "text"], "msg": "Field required"}]}).encode()

    def settled(self, clock: ScriptedClock, monkeypatch: pytest.MonkeyPatch, *options: tuple[str, str]) -> Target:
        said = head(len(self.refusal), status="422 Unprocessable", kind="application/json") + self.refusal
        monkeypatch.setattr(ScriptedLine, "reply", ((5, said),))
        return resolve_target(replace(ASKED.arm, session_options=options), clock=clock)

    def test_the_dialect_is_asked_for_over_a_connection_that_is_not_kept(
        self, clock: ScriptedClock, lines: list[ScriptedLine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = self.settled(clock, monkeypatch, ("idle_timeout", "3"))
        assert (target.dialect, target.address) == (RAYCAST, read_address(ASKED.arm.url))
        assert target.settings == Settings(idle_timeout=3.0)
        (line,) = lines
        assert line.settings == Settings(idle_timeout=3.0, keep_alive=False)
        assert line._address == target.address
        assert line._clock is clock
        assert line._stages.take() == [("connect", 7 * MS, 17 * MS)]

    def test_what_is_configured_is_not_asked_for(
        self, clock: ScriptedClock, lines: list[ScriptedLine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.settled(clock, monkeypatch, ("dialect", "openai")).dialect is OPENAI
        assert not lines[0].asked

    def test_a_format_that_the_dialect_does_not_have_is_refused(
        self, clock: ScriptedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(EngineRefusal, match="the dialect raycast has no format 'mp3'"):
            self.settled(clock, monkeypatch, ("format", "mp3"))


class TestTime:
    def test_a_timer_is_late_once_at_full_size(self, client: ExternalClient, clock: ScriptedClock) -> None:
        waits: list[float] = []

        class EnoughError(Exception):
            pass

        def sleep(seconds: float) -> None:
            waits.append(round(seconds, 9))
            clock.sleep(seconds + (0.05 if len(waits) == 3 else 0.000_2 if len(waits) == 5 else 0.0))
            if len(waits) == 7:
                raise EnoughError

        with pytest.raises(EnoughError):
            client.measure_timer_lag(sleep)
        # The third comes 50 ms late, the next at once and in time; the fifth 0.2 ms late.
        assert waits == [0.005, 0.005, 0.005, 0.0, 0.005, 0.0048, 0.005]
        assert client.drain()["lag"] == [(0, 4), (2, 1), (500, 1)]
        assert client.drain()["lag"] == []

    def test_what_is_handed_in_says_when_it_began_by_the_clock_on_the_wall(
        self, client: ExternalClient, clock: ScriptedClock
    ) -> None:
        handed = client.drain()
        assert (handed["began"], handed["wall"], handed["lag"]) == (None, clock.wall(), [])
        client.begin()
        began = clock.wall()
        clock.sleep(1)
        client.note_timer_lag(149_000)
        client.note_timer_lag(151_000)
        handed = client.drain()
        assert (handed["began"], handed["wall"]) == (began, began + 1)
        assert handed["lag"] == [(1, 1), (2, 1)]
        assert set(handed) == {"repetitions", "lag", "wall", "began"}
        assert client.sample_rate == 24_000


class TestParts:
    rate = Traffic(arrivals=Arrivals.POISSON, level=6, seconds=10)

    def test_clients_take_turns_or_draw_their_own_arrivals(self) -> None:
        even = replace(self.rate, arrivals=Arrivals.CONSTANT)
        whole = starts_of(even, seed=2)
        assert [own_starts(even, seed=2, client=n, clients=3) for n in range(3)] == [whole[n::3] for n in range(3)]
        own = starts_of(replace(self.rate, level=2), seed=2 * MOST_CLIENTS + 1)
        assert own_starts(self.rate, seed=2, client=1, clients=3) == own
        assert own_starts(self.rate, seed=2, client=0, clients=1) == starts_of(self.rate, seed=2)
        assert own_starts(replace(self.rate, arrivals=Arrivals.CLOSED), seed=2, client=0, clients=2) == ()

    def test_every_client_begins_137_texts_further_on(self) -> None:
        arm = Arm(engine="endpoint", url="http://127.0.0.1:1")
        scenario = Scenario(arm=arm, mode=Mode.ENDPOINT, text_class="one-word", voice="af_heart")
        first = texts_of(scenario)
        assert texts_of(scenario, client=0) == first
        for client in (1, 20):
            at = client * 137 % len(first)
            assert texts_of(scenario, client=client) == (*first[at:], *first[:at])
        assert all(one != other for one, other in pairwise(first))
