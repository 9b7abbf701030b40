"""Many requests of a server in scripted time: phases, shares and comparisons, exactly as the script has them."""

from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from harness.core.clock import SCRIPTED_EPOCH, ScriptedClock
from harness.core.records.repetition import Disturbance, EngineCounters, LoadNote, Memory, OutcomeKind, Phase
from harness.core.records.scenario import Arrivals, Traffic
from harness.engines.http.dialects import OPENAI
from harness.engines.http.target import Target, read_address, read_settings
from harness.engines.protocol import ServerProcess
from harness.measure.worker.concurrent import SAMPLING_S, handle_concurrent
from harness.measure.worker.protocol import ConcurrentAnswer, ConcurrentOrder, RequestText
from tests.measure.load.scripted_time import MS, Reply, Server, halves, head, play, spoken

ONE, TWO, THREE = (
    RequestText(text_class="c", variant=number, text=text, language="", band_low=0.06, band_high=0.08)
    for number, text in enumerate(("The first text.", "Another one here.", "Rain on the roof."))
)
BUSY: Reply = ((30, head(0, status="503 Busy")),)
PEAK = Memory(rss_before=1, peak=99)
CPU_NS = 1_000_003


class Watch:
    """A server's watch that was made for a process, and says what it is told to."""

    made: list[tuple[ServerProcess, float]]
    cpu_ns: int | None = CPU_NS

    def __init__(self, server: ServerProcess, *, interval_s: float = 0.02) -> None:
        self.made.append((server, interval_s))
        self.latest = 7

    def begin(self) -> None:
        """It samples nothing."""

    def end(self) -> tuple[Memory, int | None]:
        return PEAK, self.cpu_ns


@pytest.fixture(autouse=True)
def watches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ServerProcess, float]]:
    """(Process, seconds between two readings) of each watch that was made. Nothing is collected: that takes long."""
    monkeypatch.setattr(Watch, "made", [], raising=False)
    monkeypatch.setattr("harness.measure.worker.concurrent.ServerWatch", Watch)
    monkeypatch.setattr("gc.collect", lambda: None)
    return Watch.made


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Carries an order out on a scripted server, whose accounts come one after the other."""

    def carry_out(
        order: ConcurrentOrder, server: Server, accounts: Sequence[EngineCounters | None] = (), **options: str
    ) -> ConcurrentAnswer:
        clock, left = ScriptedClock(), iter(accounts)

        def run(main: Coroutine[Any, Any, Any]) -> Any:
            return play(lambda _: main, server, clock)

        monkeypatch.setattr("harness.measure.worker.concurrent.run", run)
        target = Target(
            address=read_address("http://server.test:8880"), settings=read_settings({"dialect": "openai"} | options),
            dialect=OPENAI,
        )  # fmt: skip
        process = ServerProcess(pid=5, found="here")
        if accounts:
            return handle_concurrent(order, target=target, server=process, clock=clock, account=lambda: next(left))
        return handle_concurrent(order, target=target, server=process, clock=clock)

    return carry_out


def order(
    *texts: RequestText, traffic: Traffic | None = None, compare: bool = False, phase: Phase = Phase.MEASURED
) -> ConcurrentOrder:
    return ConcurrentOrder(
        scenario_id="s",
        launch=3,
        block=4,
        phase=phase,
        texts=texts,
        voice="af_heart",
        speed=1.02,
        traffic=traffic,
        compare=compare,
    )


def answer(text: RequestText, *, says: RequestText | None = None) -> Reply:
    """The answer to a text; another's sound, of the text's own length, if `says` names it."""
    if says is None:
        return halves(text.text, 50, 80)
    body = spoken(says.text, seconds=0.07 * len(text.text))
    return ((50, head(len(body)) + body[: len(body) // 4 * 2]), (80, body[len(body) // 4 * 2 :]))


class TestLoads:
    rate = Traffic(arrivals=Arrivals.CONSTANT, level=10, seconds=0.4, warm_up_s=0.2, cool_down_s=0.2, drain_s=1)

    def test_the_window_holds_its_beginning_and_not_its_end(self, attended: Any) -> None:
        found = attended(order(ONE, traffic=self.rate), Server(replies=[answer(ONE)]))
        phases = [each.phase for each in found.repetitions]
        # Starts every 0.1 s from 0: 0.2 s is the window's first, 0.6 s the first after it.
        assert phases == [Phase.WARMUP] * 2 + [Phase.MEASURED] * 4 + [Phase.COOLDOWN] * 2
        assert [round((each.started_at - SCRIPTED_EPOCH) * 1_000) for each in found.repetitions] == [
            0, 100, 200, 300, 400, 500, 600, 700,
        ]  # fmt: skip
        assert {(each.scenario_id, each.launch, each.block) for each in found.repetitions} == {("s", 3, 4)}
        assert found.began_at == SCRIPTED_EPOCH
        assert [each.position for each in found.repetitions] == list(range(8))

    def test_the_servers_figures_go_with_the_load_and_its_cpu_time_with_the_audio(
        self, attended: Any, watches: list[tuple[ServerProcess, float]]
    ) -> None:
        replies = [answer(ONE), answer(TWO), BUSY]
        found = attended(order(ONE, TWO, traffic=self.rate), Server(replies=replies))
        assert watches == [(ServerProcess(pid=5, found="here"), SAMPLING_S)]
        assert SAMPLING_S == 0.1
        # Of 15 and 17 characters, and 6 failures without a frame.
        shares = [round(CPU_NS * characters / 32) for characters in (15, 17)]
        assert [each.cpu_ns for each in found.repetitions] == [*shares, *[0] * 6]
        assert found.repetitions[0].memory == Memory(rss_before=1, rss_after=7, peak=99)
        assert found.note.memory == PEAK
        assert found.note.server_cpu_ns == CPU_NS
        ((steps, beats),) = found.note.timer_lag
        assert steps == 0
        assert beats > 100

    def test_without_a_frame_or_without_figures_nothing_is_shared(
        self, attended: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert {
            each.cpu_ns for each in attended(order(ONE, traffic=self.rate), Server(replies=[BUSY])).repetitions
        } == {None}
        monkeypatch.setattr(Watch, "cpu_ns", None)
        found = attended(order(ONE, traffic=self.rate), Server(replies=[answer(ONE)]))
        assert {each.cpu_ns for each in found.repetitions} == {None}
        assert found.note == LoadNote(timer_lag=found.note.timer_lag, memory=PEAK, server_cpu_ns=None)

    def test_listeners_come_during_the_warm_up_and_ask_until_the_cool_downs_end(self, attended: Any) -> None:
        closed = Traffic(arrivals=Arrivals.CLOSED, level=2, seconds=0.2, warm_up_s=0.1, cool_down_s=0.1, drain_s=1)
        found = attended(order(ONE, traffic=closed), Server(replies=[answer(ONE)]))
        begun = [round((each.started_at - SCRIPTED_EPOCH) * 1_000) for each in found.repetitions]
        assert begun == [0, 50, 80, 130, 160, 210, 240, 290, 320, 370]
        assert [each.phase for each in found.repetitions] == (
            [Phase.WARMUP] * 3 + [Phase.MEASURED] * 5 + [Phase.COOLDOWN] * 2
        )

    def test_listeners_who_listen_hear_it_out(self, attended: Any) -> None:
        closed = Traffic(
            arrivals=Arrivals.CLOSED, level=1, seconds=1.2, warm_up_s=0, cool_down_s=0, listen=True, drain_s=1
        )
        found = attended(order(ONE, traffic=closed), Server(replies=[answer(ONE)]))
        # 50 ms to the first sound and 15 characters of 0.07 s.
        assert [round((each.started_at - SCRIPTED_EPOCH) * 1_000) for each in found.repetitions] == [0, 1_100]

    @pytest.mark.parametrize("arrivals", [Arrivals.CLOSED, Arrivals.CONSTANT])
    def test_last_answers_are_waited_for_as_long_as_the_load_says(self, attended: Any, arrivals: Arrivals) -> None:
        traffic = Traffic(arrivals=arrivals, level=1, seconds=0.4, warm_up_s=0.2, cool_down_s=0.2, drain_s=0.7)
        found = attended(order(ONE, traffic=traffic), Server(replies=[((50, head(100)),)]))
        (only,) = found.repetitions
        assert (only.outcome.kind, only.end_ns) == (OutcomeKind.UNFINISHED, 1_500 * MS)

    def test_arrivals_are_drawn_from_the_orders_seed(self, attended: Any) -> None:
        chance = Traffic(arrivals=Arrivals.POISSON, level=20, seconds=0.5, warm_up_s=0, cool_down_s=0, drain_s=1)

        def starts(seed: int) -> list[float]:
            given = ConcurrentOrder(
                scenario_id="s",
                launch=0,
                block=0,
                phase=Phase.MEASURED,
                texts=(ONE,),
                voice="v",
                traffic=chance,
                seed=seed,
            )
            return [each.started_at for each in attended(given, Server(replies=[answer(ONE)])).repetitions]

        assert starts(1) == starts(1) != starts(2)


class TestAtOnce:
    def test_all_are_asked_for_in_one_moment_over_connections_that_are_there(
        self, attended: Any, watches: list[tuple[ServerProcess, float]]
    ) -> None:
        server = Server(replies=[answer(ONE), answer(TWO)], connect_ms=40)
        found = attended(order(ONE, TWO, phase=Phase.WARMUP), server)
        assert [each.started_at for each in found.repetitions] == [SCRIPTED_EPOCH + 0.08] * 2
        assert [(each.launch, each.block, each.phase) for each in found.repetitions] == [(3, 4, Phase.WARMUP)] * 2
        assert [each.stages for each in found.repetitions] == [(), ()]
        assert [each.outcome.valid for each in found.repetitions] == [True, True]
        # Nothing is asked for again where nothing is to be compared.
        assert [at_ns for at_ns, _, _ in server.requests] == [80 * MS] * 2
        assert all(b'"speed": 1.02' in body for _, _, body in server.requests)
        assert watches == [(ServerProcess(pid=5, found="here"), 0.02)]
        assert found.began_at == SCRIPTED_EPOCH + 0.08
        assert [each.memory.peak for each in found.repetitions] == [99, 99]
        # By its number: both end in one moment, and either may come first.
        assert {each.position: each.cpu_ns for each in found.repetitions} == {
            number: round(CPU_NS * characters / 32) for number, characters in enumerate((15, 17))
        }
        assert (found.note.memory, found.note.server_cpu_ns) == (PEAK, CPU_NS)
        assert found.note.timer_lag[0][0] == 0
        assert {(each.account, each.disturbance) for each in found.repetitions} == {(None, Disturbance())}

    def test_without_keep_alive_each_makes_its_own_connection(self, attended: Any) -> None:
        server = Server(replies=[answer(ONE), answer(TWO)], connect_ms=40)
        found = attended(order(ONE, TWO), server, keep_alive="off")
        assert [len(each.stages) for each in found.repetitions] == [1, 1]
        assert found.began_at == SCRIPTED_EPOCH

    def test_each_is_compared_with_its_own_text_alone_asked_for_twice_and_one_after_the_other(
        self, attended: Any, watches: list[tuple[ServerProcess, float]]
    ) -> None:
        server = Server(replies=[answer(text) for text in (ONE, TWO, ONE, THREE, ONE, TWO, THREE, ONE, TWO, THREE)])
        found = attended(order(ONE, TWO, ONE, THREE, compare=True), server)
        assert [each.outcome.valid for each in found.repetitions] == [True] * 4
        assert len(server.requests) == 4 + 2 * 3, "a text that comes twice is asked for alone but twice"
        times = [at_ns // MS for at_ns, _, _ in server.requests]
        assert times == [0, 0, 0, 0, 80, 160, 240, 320, 400, 480]
        assert len(watches) == 1, "what is asked for alone is no part of the server's figures"

    def test_the_one_that_is_wrong_under_load_is_found(self, attended: Any) -> None:
        wrong = [answer(ONE), answer(TWO, says=THREE), answer(THREE)]
        server = Server(replies=[*wrong, *[answer(text) for text in (ONE, TWO, THREE)] * 2])
        found = attended(order(ONE, TWO, THREE, compare=True), server)
        assert {each.position: each.outcome.fault for each in found.repetitions} == {
            0: "",
            1: "differs-from-alone",
            2: "",
        }

    def test_what_failed_keeps_its_reason_and_what_failed_alone_is_not_held_against_it(self, attended: Any) -> None:
        texts = (ONE, TWO, THREE)
        under_load = [BUSY, answer(TWO, says=THREE), answer(THREE)]
        alone = [*[answer(text) for text in texts], answer(ONE), BUSY, answer(THREE)]
        found = attended(order(*texts, compare=True), Server(replies=[*under_load, *alone]))
        # The second text was heard alone but once: nothing says how much two good answers differ.
        assert {each.position: each.outcome.fault for each in found.repetitions} == {0: "http-503", 1: "", 2: ""}

    def test_the_account_is_what_was_counted_while_they_were_asked_for(self, attended: Any) -> None:
        before, after = EngineCounters(hits=1, misses=10), EngineCounters(hits=4, misses=12)
        server = Server(replies=[answer(ONE), answer(TWO)])
        found = attended(order(ONE, TWO), server, [before, after])
        assert [each.account for each in found.repetitions] == [EngineCounters(hits=3, misses=2)] * 2
        for one_missing in ([None, after], [before, None]):
            again = attended(order(ONE, TWO), Server(replies=[answer(ONE), answer(TWO)]), one_missing)
            assert [each.account for each in again.repetitions] == [None, None]
