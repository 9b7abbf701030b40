"""The client of a load in scripted time: every stamp, label and sentence is what the script says, to the nanosecond."""

import asyncio
import errno
import gc
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.core.clock import SCRIPTED_EPOCH, ScriptedClock
from harness.core.records.repetition import Memory, Outcome, OutcomeKind, StageMark
from harness.core.records.scenario import Band, Utterance
from harness.engines.http.dialects import OPENAI
from harness.engines.http.target import Target, read_address, read_settings
from harness.measure.load.client import LoadClient, LoadResult
from harness.measure.load.loops import closed_loop, open_loop
from harness.measure.load.records import KeepAudio, Workload
from harness.measure.system.server_process import ServerWatch
from harness.metrics.per_request import repetition_figures
from tests.measure.load.scripted_time import MS, RATE, Reply, Server, halves, head, play, spoken

URL = "http://server.test:8880"
TEXT = "The first text."
OTHER = "Another one here."
TEXTS = tuple(Utterance(text_class="c", variant=n, text=text) for n, text in enumerate((TEXT, OTHER)))
ONE = TEXTS[:1]
HALF = round(len(TEXT) * 0.07 * RATE) // 2
ANSWER = halves(TEXT, 50, 80)

Load = Callable[[ScriptedClock], Coroutine[Any, Any, LoadResult]]


def client(
    clock: ScriptedClock,
    *,
    texts: tuple[Utterance, ...] = ONE,
    url: str = URL,
    keep: KeepAudio | None = None,
    watch: ServerWatch | None = None,
    stream: bool = True,
    **options: str,
) -> LoadClient:
    settings = read_settings({"dialect": "openai"} | options)
    workload = Workload(
        scenario_id="a load",
        utterances=texts,
        band=lambda _: Band(low=0.06, high=0.08),
        voice="af_heart",
        speed=1.02,
        stream=stream,
    )
    target = Target(address=read_address(url), settings=settings, dialect=OPENAI)
    return LoadClient(target, workload, clock=clock, keep=keep, watch=watch)


LOOPS = frozenset({"places", "connections", "longest_s", "users", "stagger_s", "listen"})


def parted(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of a loop, and those of its client."""
    loop = {name: value for name, value in given.items() if name in LOOPS}
    return loop, {name: value for name, value in given.items() if name not in LOOPS}


def at(*starts_ms: float, **given: Any) -> Load:
    """An open loop whose requests start at these milliseconds."""
    starts = [round(start * MS) for start in starts_ms]
    loop, rest = parted(given)
    return lambda clock: open_loop(client(clock, **rest), starts_ns=starts, **loop)


def kept_busy(*, seconds: float, **given: Any) -> Load:
    """A closed loop of one listener, if no more are given."""
    loop, rest = parted({"users": 1} | given)
    return lambda clock: closed_loop(client(clock, **rest), seconds=seconds, **loop)


def faults(result: LoadResult) -> list[tuple[OutcomeKind, str, str]]:
    return [(each.outcome.kind, each.outcome.fault, each.outcome.reason) for each in result.repetitions]


def tls_error(reason: str) -> ssl.SSLError:
    """As OpenSSL gives it."""
    error = ssl.SSLError(1, "handshake failure")
    error.reason = reason
    return error


@pytest.fixture(autouse=True)
def collections(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each collection that was asked for. Nothing is collected: it takes longer than all the rest."""
    asked: list[None] = []
    monkeypatch.setattr("gc.collect", lambda: asked.append(None))
    return asked


class TestStamps:
    def test_every_stamp_of_a_request_counts_from_its_intended_start(self) -> None:
        server = Server(replies=[ANSWER], connect_ms=10)
        result = play(at(7), server)
        (load_record,) = result.load_records
        found = load_record.repetition
        assert found.stages == (StageMark(stage="connect", start_ns=0, end_ns=10 * MS),)
        assert found.first_byte_ns == 60 * MS
        assert [(chunk.at_ns, chunk.frames) for chunk in found.chunks] == [(60 * MS, HALF), (90 * MS, HALF)]
        assert found.end_ns == 90 * MS
        assert (load_record.user, load_record.intended_ns, load_record.waited_ns, load_record.lag_ns) == (
            0,
            7 * MS,
            0,
            0,
        )
        assert (found.scenario_id, found.launch, found.block, found.position) == ("a load", 0, 0, 0)
        assert (found.variant, found.characters, found.lag_ns) == (0, len(TEXT), 0)
        assert found.started_at == SCRIPTED_EPOCH + 0.007
        assert (result.began_at, result.began_ns) == (SCRIPTED_EPOCH, 0)
        assert found.outcome.valid
        assert [at_ns for at_ns, _, _ in server.requests] == [17 * MS]

    def test_stalls_are_those_of_the_answers(self) -> None:
        reply = halves(TEXT, 50, 1_050)
        result = play(at(0, 0, 7), Server(replies=[reply]))
        # The first half is heard from 50 ms on.
        true_s = 1.0 - HALF / RATE
        for each in result.repetitions:
            figures = repetition_figures(each)
            assert figures["stall"].value == pytest.approx(true_s, abs=1e-9)
            assert figures["stall_count"].value == 1

    def test_a_load_that_begins_later_on_the_clock_counts_from_its_own_beginning(self) -> None:
        async def later(clock: ScriptedClock) -> LoadResult:
            await asyncio.sleep(2)
            return await at(5)(clock)

        result = play(later, Server(replies=[ANSWER]))
        (load_record,) = result.load_records
        assert (result.began_at, result.began_ns) == (SCRIPTED_EPOCH + 2, 2_000 * MS)
        assert (load_record.intended_ns, load_record.repetition.end_ns) == (5 * MS, 80 * MS)
        assert load_record.repetition.started_at == SCRIPTED_EPOCH + 2.005

    def test_a_closed_loop_asks_again_at_the_very_end_of_an_answer(self) -> None:
        server = Server(replies=[ANSWER])
        result = play(kept_busy(seconds=0.24), server)
        assert [each.intended_ns for each in result.load_records] == [0, 80 * MS, 160 * MS]
        assert [at_ns for at_ns, _, _ in server.requests] == [0, 80 * MS, 160 * MS]
        assert [each.lag_ns for each in result.load_records] == [0, 0, 0]

    def test_a_closed_loops_listeners_come_evenly_and_none_begins_at_its_end(self) -> None:
        result = play(kept_busy(users=4, seconds=0.16, stagger_s=0.08), Server(replies=[ANSWER]))
        begun = sorted((each.intended_ns // MS, each.user) for each in result.load_records)
        assert begun == [(0, 0), (20, 1), (40, 2), (60, 3), (80, 0), (100, 1), (120, 2), (140, 3)]

    def test_none_begins_at_the_end_of_whole_seconds(self) -> None:
        result = play(kept_busy(seconds=4), Server(replies=[halves(TEXT, 500, 1_000)]))
        assert [each.intended_ns for each in result.load_records] == [0, 1_000 * MS, 2_000 * MS, 3_000 * MS]

    def test_listeners_come_in_one_moment_or_over_whole_seconds(self) -> None:
        slow = halves(TEXT, 3_000, 3_990)
        at_once = play(kept_busy(users=2, seconds=1), Server(replies=[slow]))
        assert [each.intended_ns for each in at_once.load_records] == [0, 0]
        parted = play(kept_busy(users=4, seconds=4, stagger_s=4), Server(replies=[slow]))
        begun = [each.intended_ns for each in parted.load_records]
        assert begun == [0, 1_000 * MS, 2_000 * MS, 3_000 * MS, 3_990 * MS]

    def test_a_listener_who_listens_asks_again_when_the_audio_has_been_heard(self) -> None:
        result = play(kept_busy(seconds=1.2, listen=True), Server(replies=[ANSWER]))
        # First heard after 50 ms; the second half comes before the first has been played.
        assert [each.intended_ns for each in result.load_records] == [0, 50 * MS + 2 * HALF * 1_000_000_000 // RATE]

    def test_a_listener_whose_request_failed_pauses_a_tenth_of_a_second(self) -> None:
        refused = ((30, head(0, status="503 Busy")),)
        result = play(kept_busy(seconds=0.3, listen=True), Server(replies=[refused]))
        assert [each.intended_ns for each in result.load_records] == [0, 130 * MS, 260 * MS]

    def test_a_request_that_waits_for_a_place_could_begin_when_the_place_was_free(self) -> None:
        result = play(at(0, 10, 300, places=1), Server(replies=[ANSWER]))
        assert [(each.waited_ns, each.lag_ns) for each in result.load_records] == [(0, 0), (70 * MS, 0), (0, 0)]
        assert [each.repetition.end_ns for each in result.load_records] == [80 * MS, 150 * MS, 80 * MS]
        assert [each.user for each in result.load_records] == [0, 1, 2]

    def test_places_bound_how_many_are_open(self) -> None:
        server = Server(replies=[ANSWER])
        result = play(at(0, 0, 0, 0, places=2), server)
        assert [at_ns // MS for at_ns, _, _ in server.requests] == [0, 0, 80, 80]
        assert [each.waited_ns // MS for each in result.load_records] == [0, 0, 80, 80]

    def test_attempts_are_told_by_their_intended_start(self) -> None:
        slow, quick = halves(TEXT, 400, 500), halves(TEXT, 10, 20)
        result = play(at(0, 100), Server(replies=[slow, quick]))
        assert [each.intended_ns for each in result.load_records] == [0, 100 * MS]
        assert [each.repetition.position for each in result.load_records] == [0, 1]
        # The other order of their ends does not mix up their audio.
        assert [each.repetition.end_ns for each in result.load_records] == [500 * MS, 20 * MS]

    def test_attempts_of_one_instant_are_told_by_their_numbers_not_by_their_ends(self) -> None:
        slow, quick = halves(TEXT, 400, 500), halves(TEXT, 10, 20)
        result = play(at(0, 0), Server(replies=[slow, quick]))
        assert [each.repetition.position for each in result.load_records] == [0, 1]
        assert [each.repetition.end_ns for each in result.load_records] == [500 * MS, 20 * MS]

    def test_a_load_without_requests_ends_at_once(self) -> None:
        assert play(at(), Server(replies=[ANSWER])).load_records == ()


class TestLateness:
    def test_a_timer_that_comes_in_time_is_late_by_nothing(self) -> None:
        result = play(at(0), Server(replies=[ANSWER]))
        # Every 5 ms from the load's beginning to its end at 80 ms.
        assert len(result.loop_lag_ns) in {15, 16}
        assert set(result.loop_lag_ns) == {0}

    def test_a_client_that_stands_still_is_late_once_at_full_size_and_with_its_start(self) -> None:
        async def disturbed(clock: ScriptedClock) -> LoadResult:
            # From 12 ms to 62 ms the loop does something else. What was due at 15 ms and 40 ms comes then.
            asyncio.get_running_loop().call_later(0.012, clock.sleep, 0.05)
            return await at(0, 40)(clock)

        result = play(disturbed, Server(replies=[halves(TEXT, 100, 120)]))
        late = [lag for lag in result.loop_lag_ns if lag]
        # Due at 15 ms, it came at 62 ms; the next, due 57 ms + 5 ms, came in the same moment and in time.
        assert late == [47 * MS]
        assert result.loop_lag_ns.index(47 * MS) == 2
        assert [each.lag_ns for each in result.load_records] == [0, 22 * MS]
        assert [each.repetition.lag_ns for each in result.load_records] == [0, 22 * MS]
        assert result.lag_ns == (0, 22 * MS, *result.loop_lag_ns)
        # The client's lateness is part of the latency.
        assert result.repetitions[1].first_byte_ns == 122 * MS


class TestEnds:
    def test_an_answer_that_is_not_complete_when_waiting_ends_is_unfinished(self) -> None:
        result = play(at(0, 20, longest_s=0.06), Server(replies=[halves(TEXT, 10, 40), halves(TEXT, 30, 80)]))
        whole, open_still = result.repetitions
        assert (whole.outcome.valid, whole.end_ns) == (True, 40 * MS)
        body = len(spoken(TEXT)) // 2
        said = f"not complete when waiting for answers ended; {body} bytes of body had come"
        assert open_still.outcome == Outcome(kind=OutcomeKind.UNFINISHED, reason=said)
        # Given up 60 ms after the load's beginning, and not after its own.
        assert open_still.end_ns == 40 * MS
        assert open_still.first_byte_ns == 30 * MS
        assert [chunk.frames for chunk in open_still.chunks] == [HALF]
        # How long it was waited for is no figure.
        assert all(figure.value is None for figure in repetition_figures(open_still).values())

    def test_a_closed_loop_gives_up_as_well(self) -> None:
        result = play(kept_busy(seconds=0.1, longest_s=0.2), Server(replies=[((50, head(100)),)]))
        assert faults(result) == [
            (OutcomeKind.UNFINISHED, "", "not complete when waiting for answers ended; 0 bytes of body had come")
        ]
        assert result.repetitions[0].end_ns == 200 * MS

    def test_an_answer_longer_than_the_total_time_out(self) -> None:
        trickle = (*ANSWER[:1], *((at_ms, b"\0\0") for at_ms in range(150, 4_000, 100)))
        result = play(at(5, total_timeout="2", idle_timeout="0.3"), Server(replies=[trickle]))
        bytes_had_come = len(spoken(TEXT)) // 2 + 2 * 19
        (found,) = result.repetitions
        reason = f"the answer was not complete within 2 s; {bytes_had_come} bytes of body had come"
        assert faults(result) == [(OutcomeKind.TIMEOUT, "timeout-total", reason)]
        assert found.end_ns == 2_000 * MS

    def test_a_server_that_falls_silent_is_given_up_an_idle_time_out_after_its_last_byte(self) -> None:
        silent = (*ANSWER[:1], (200, b"\0\0"))
        result = play(at(5, idle_timeout="3"), Server(replies=[silent]))
        reason = f"not a byte for 3 s; {len(spoken(TEXT)) // 2 + 2} bytes of body had come"
        assert faults(result) == [(OutcomeKind.TIMEOUT, "timeout-idle", reason)]
        assert result.repetitions[0].end_ns == 3_200 * MS

    def test_a_connection_that_takes_too_long(self) -> None:
        result = play(at(5, connect_timeout="0.25"), Server(replies=[ANSWER], connect_ms=9_000))
        reason = "no connection with http://server.test:8880 within 0.25 s"
        assert faults(result) == [(OutcomeKind.TIMEOUT, "timeout-connect", reason)]
        (found,) = result.repetitions
        assert (found.end_ns, found.first_byte_ns, found.stages, found.chunks) == (250 * MS, None, (), ())

    @pytest.mark.parametrize(
        ("failure", "fault", "reason"),
        [
            (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "refused",
             "cannot connect to http://server.test:8880: Connection refused"),
            (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "dns",
             "the name 'server.test' does not resolve: Name or service not known"),
            (UnicodeError("label too long"), "dns", "the name 'server.test' does not resolve: label too long"),
            (tls_error("NO_CIPHERS"), "tls", "no TLS with http://server.test:8880: NO_CIPHERS"),
        ],
    )  # fmt: skip
    def test_a_connection_that_cannot_be_made(self, failure: Exception, fault: str, reason: str) -> None:
        result = play(at(0), Server(replies=[ANSWER], connect_ms=3, refuse=[failure]))
        assert faults(result) == [(OutcomeKind.ERROR, fault, reason)]
        assert result.repetitions[0].end_ns == 3 * MS

    @pytest.mark.parametrize(
        ("end", "how"),
        [(None, "the connection was closed"), (ConnectionResetError(), "the connection was reset"),
         (TimeoutError(errno.ETIMEDOUT, "timed out"), "the connection broke (timed out)")],
    )  # fmt: skip
    def test_a_connection_that_ends_in_the_middle(self, end: OSError | None, how: str) -> None:
        server = Server(replies=[(*ANSWER[:1], (70, end)), ANSWER])
        result = play(at(0, 200), server)
        whole = len(spoken(TEXT))
        reason = f"{how} after {whole // 2} of {whole} bytes, before the answer's end"
        assert faults(result) == [(OutcomeKind.INVALID_AUDIO, "truncated", reason), (OutcomeKind.VALID, "", "")]
        first = result.repetitions[0]
        assert (first.end_ns, first.first_byte_ns) == (70 * MS, 50 * MS)
        assert [chunk.frames for chunk in first.chunks] == [HALF], "what came before the fault is kept"
        assert [line for _, line, _ in server.requests] == [0, 1], "the broken connection is not used again"

    def test_a_load_that_is_cut_short_has_measured_what_was_complete(self) -> None:
        async def interrupted(clock: ScriptedClock) -> LoadResult:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(0.1, task.cancel)
            result = await at(0, 50, 90, 200)(clock)
            assert task.cancelling() == 0
            return result

        result = play(interrupted, Server(replies=[ANSWER]))
        assert [each.intended_ns // MS for each in result.load_records] == [0]


class TestConnections:
    def test_a_connection_is_kept_and_the_latest_one_is_used_again(self) -> None:
        server = Server(replies=[halves(TEXT, 50, 80), halves(TEXT, 50, 60), ANSWER])
        result = play(at(0, 10, 100, 110, 120), server)
        # Connection 1 came free at 70 ms, connection 0 at 80 ms.
        assert [line for _, line, _ in server.requests] == [0, 1, 0, 1, 2]
        assert [bool(each.stages) for each in result.repetitions] == [True, True, False, False, True]
        assert all(each.outcome.valid for each in result.repetitions)
        assert all(line.closed_ns is not None for line in server.lines), "all are closed with the load"

    def test_without_keep_alive_each_request_makes_its_own_and_closes_it(self) -> None:
        server = Server(replies=[ANSWER])
        result = play(at(0, 100, keep_alive="off"), server)
        assert [line for _, line, _ in server.requests] == [0, 1]
        assert [line.closed_ns for line in server.lines] == [80 * MS, 180 * MS]
        assert all(b"Connection: close" in asked for _, _, asked in server.requests)
        assert all(each.stages for each in result.repetitions)

    def test_a_server_that_says_it_closes_is_taken_at_its_word(self) -> None:
        body = spoken(TEXT)
        closing = head(len(body)).replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body
        server = Server(replies=[((80, closing),), ANSWER])
        result = play(at(0, 100), server)
        assert [line for _, line, _ in server.requests] == [0, 1]
        assert server.lines[0].closed_ns == 80 * MS
        assert all(each.outcome.valid for each in result.repetitions)

    def test_connections_made_beforehand_are_no_requests_part(self) -> None:
        server = Server(replies=[ANSWER], connect_ms=40)
        result = play(at(0, 0, 0, connections=2), server)
        assert [len(each.stages) for each in result.repetitions] == [0, 0, 1]
        assert result.began_ns == 80 * MS, "the load begins once they are made"
        first = play(kept_busy(seconds=0.05), Server(replies=[ANSWER], connect_ms=40))
        assert (first.began_ns, len(first.repetitions[0].stages)) == (0, 1), "none where none is asked for"
        busy = Server(replies=[ANSWER], connect_ms=40)
        assert play(kept_busy(users=2, seconds=0.05, connections=2), busy).began_ns == 80 * MS

    def test_where_they_cannot_be_made_beforehand_the_requests_find_out(self) -> None:
        refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        result = play(at(0, connections=1), Server(replies=[ANSWER], refuse=[refused]))
        assert [each.outcome.valid for each in result.repetitions] == [True]
        again = play(at(0, connections=1), Server(replies=[ANSWER], refuse=[refused] * 2))
        assert [fault for _, fault, _ in faults(again)] == ["refused"]

    def test_a_connection_on_which_something_follows_the_answer_is_not_used_again(self) -> None:
        # The rubbish comes in a read of its own, in the same moment as the answer's end.
        server = Server(replies=[(*ANSWER, (80, b"rubbish")), ANSWER])
        result = play(at(0, 100), server)
        assert [line for _, line, _ in server.requests] == [0, 1]
        assert all(each.outcome.valid for each in result.repetitions)

    @pytest.mark.parametrize("end", [None, b"rubbish", ConnectionResetError()])
    def test_a_kept_connection_that_ends_between_two_requests_is_not_used_again(
        self, end: bytes | OSError | None
    ) -> None:
        server = Server(replies=[(*ANSWER, (90, end)), ANSWER])
        result = play(at(0, 100), server)
        assert [line for _, line, _ in server.requests] == [0, 1]
        assert all(each.outcome.valid for each in result.repetitions)

    def test_small_requests_go_out_at_once_to_the_address_that_was_given(self) -> None:
        server = Server(replies=[ANSWER])
        play(at(0), server)
        assert server.asked == [("server.test", 8880, None)]
        assert server.lines[0].socket.options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]

    def test_https_is_spoken_with_certificates_checked(self) -> None:
        server = Server(replies=[ANSWER])
        play(at(0, url="https://server.test"), server)
        ((host, port, context),) = server.asked
        assert (host, port) == ("server.test", 443)
        assert isinstance(context, ssl.SSLContext)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)

    def test_each_text_is_asked_for_in_its_turn(self) -> None:
        server = Server(replies=[ANSWER])
        result = play(at(0, 1, 2, 3, 4, 5, texts=TEXTS), server)
        asked = [TEXT if TEXT.encode() in body else OTHER for _, _, body in server.requests]
        assert asked == [TEXT, OTHER] * 3
        assert [each.variant for each in result.repetitions] == [0, 1] * 3
        assert [each.position for each in result.repetitions] == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_request_says_all_that_was_chosen(self, stream: bool) -> None:  # noqa: FBT001
        server = Server(replies=[ANSWER])
        play(at(0, texts=(replace(ONE[0], language="fr"),), stream=stream), server)
        (_, _, asked), *_ = server.requests
        header, _, body = asked.partition(b"\r\n\r\n")
        assert header.startswith(b"POST /")
        said = json.loads(body)
        assert (said["input"], said["voice"], said["speed"], said["stream"]) == (TEXT, "af_heart", 1.02, stream)
        assert said[OPENAI.language_field] == "fr"


class Watch:
    """A server's watch that says what it is told to, and when it was begun and ended."""

    def __init__(self, clock: ScriptedClock) -> None:
        self._clock = clock
        self.calls: list[tuple[str, int]] = []

    @property
    def latest(self) -> int:
        return self._clock.now_ns() // MS

    def begin(self) -> None:
        self.calls.append(("begin", self._clock.now_ns()))

    def end(self) -> tuple[Memory, int]:
        self.calls.append(("end", self._clock.now_ns()))
        return Memory(peak=123), 456


class TestSurroundings:
    def test_the_server_is_watched_from_the_first_connection_to_the_end(self) -> None:
        watches: list[Watch] = []

        async def watched(clock: ScriptedClock) -> LoadResult:
            watches.append(Watch(clock))
            return await at(0, 100, connections=1, watch=cast("ServerWatch", watches[0]))(clock)

        result = play(watched, Server(replies=[ANSWER], connect_ms=40))
        assert watches[0].calls == [("begin", 0), ("end", (40 + 180) * MS)]
        assert (result.memory, result.server_cpu_ns) == (Memory(peak=123), 456)
        assert [each.memory.rss_after for each in result.repetitions] == [120, 220]

    def test_a_server_that_is_not_watched_has_no_figures(self) -> None:
        result = play(at(0), Server(replies=[ANSWER]))
        assert (result.memory, result.server_cpu_ns) == (Memory(peak_reason="the server was not watched"), None)
        assert result.repetitions[0].memory.rss_after is None

    def test_what_was_there_before_is_no_work_for_the_collector_and_judges_let_go_sooner(
        self, collections: list[None]
    ) -> None:
        async def loaded(clock: ScriptedClock) -> tuple[float, int, LoadResult]:
            worker = client(clock)
            async with worker.working(prepared_requests=1):
                seen = sys.getswitchinterval(), gc.get_freeze_count()
                await worker.send(user=0, intended_ns=0, ready_ns=0)
            return *seen, worker.result()

        usual = sys.getswitchinterval()
        interval, frozen, _ = play(loaded, Server(replies=[ANSWER]))
        assert interval == pytest.approx(0.0005)
        assert frozen > 0
        assert len(collections) == 1
        assert (sys.getswitchinterval(), gc.get_freeze_count()) == (usual, 0)

    def test_requests_are_made_before_their_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[int] = []
        prepare = LoadClient._prepare

        async def loaded(clock: ScriptedClock) -> None:
            worker = client(clock)
            monkeypatch.setattr(LoadClient, "_prepare", lambda self: (made.append(clock.now_ns()), prepare(self)))
            async with worker.working(prepared_requests=3, connections=1):
                assert made == [0, 0, 0], "before the first connection was made"
                await worker.send(user=0, intended_ns=worker.began_ns, ready_ns=worker.began_ns)
                assert len(made) == 4, "another is made while the answer is awaited"

        play(loaded, Server(replies=[ANSWER], connect_ms=40))

    def test_audio_beyond_the_bound_is_judged_while_the_load_goes_on_and_no_other(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        judged = [threading.Event() for _ in range(3)]

        def keep(number: int, chunks: Sequence[NDArray[np.float32]]) -> None:
            assert sum(map(len, chunks)) == 2 * HALF
            judged[number].set()

        async def loaded(clock: ScriptedClock) -> LoadResult:
            worker = client(clock, keep=keep)
            async with worker.working(prepared_requests=3):
                for number in range(3):
                    now_ns = clock.now_ns()
                    await worker.send(user=0, intended_ns=now_ns, ready_ns=now_ns)
                    if number < 2:
                        assert not judged[0].is_set(), "two answers just fill the bound"
                assert judged[0].wait(60)
                assert not judged[1].is_set()
            assert all(each.is_set() for each in judged)
            return worker.result()

        monkeypatch.setattr("harness.measure.load.client.MOST_PENDING_FRAMES", 4 * HALF)
        assert [each.outcome.valid for each in play(loaded, Server(replies=[ANSWER])).repetitions] == [True] * 3

    def test_requests_without_a_frame_are_judged_as_well(self) -> None:
        refused: Reply = ((30, head(0, status="503 Busy")),)
        result = play(at(0, 0), Server(replies=[refused]))
        assert [fault for _, fault, _ in faults(result)] == ["http-503"] * 2
