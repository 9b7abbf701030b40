"""Locust's listeners against the server's log: of two clients and a master, and of one process that does it all."""

import importlib.util
import os
from statistics import median

import pytest

from harness.core.records.repetition import Phase
from harness.core.records.run import RunStatus
from harness.server.mock.script import Answer, Script, Step
from tests.known_answers.checks import check_closed_loop
from tests.known_answers.oracle import close, heard_out_s
from tests.known_answers.playing import Played, distribute
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, RATE, ROUNDING_NS, Load, most_open

ANSWER_S = 0.1
STEPS = (Step(wait_ms=500 * ANSWER_S), Step(audio_share=0.5), Step(wait_ms=500 * ANSWER_S), Step(audio_share=0.5))
STEADY = Script(name="steady", answers=(Answer(steps=STEPS),))
SLOW = Script(name="slow", answers=(Answer(steps=(Step(wait_ms=300), Step(audio_share=1.0))),))
WORKERS, LISTENERS, PER_SECOND = 2, 3, 6
"""An odd number, so that one client has one listener more than the other."""
WARM_UP_S = 1.0
BURST = 6

# Looked up, not imported: importing it replaces sockets, threads and locks of the whole process.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return distribute(
        tmp_path_factory.mktemp("distributed"), STEADY, "-u", str(LISTENERS), "-r", str(PER_SECOND), "--seconds", "1.5",
        "--warm-up", str(WARM_UP_S), "--cool-down", "0.5", "--text-class", "chars-12", workers=WORKERS,
    )  # fmt: skip


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return distribute(
        tmp_path_factory.mktemp("burst"), SLOW, "-u", str(BURST), "-r", "1e6", "--listen", "--seconds", "2",
        "--warm-up", "0.5", "--cool-down", "0.5", "--text-class", "chars-12", workers=0, slowly=True,
    )  # fmt: skip


def _only(played: Played) -> Load:
    (load,) = played.loads.values()
    return load


@pytest.fixture
def load(played: Played) -> Load:
    return _only(played)


def test_every_request_that_the_server_saw_is_in_the_run(played: Played, load: Load) -> None:
    assert played.code == 0, played.said
    assert played.run.status is RunStatus.COMPLETE
    assert load.scenario.id.endswith(f"/endpoint/chars-12/af_heart/rotating/closed-{LISTENERS}")
    assert len(load.pairs) == len(played.log.answers)
    assert dict(played.launches[0].facts.options)["clients"] == str(WORKERS)
    assert not [note for note in played.run.notes if "report" in note]
    # Texts change with every request, as far as the class has them.
    assert len({each.repetition.variant for each in load.pairs}) > LISTENERS


def test_it_is_stored_and_reported_like_any_other(played: Played) -> None:
    page = (played.root / f"reports/site/runs/{played.run.id}.html").read_text(encoding="utf-8")
    assert "users" in page
    assert f"({os.getpid()})" in dict(played.launches[0].facts.options)["server_process"]
    (block,) = played.blocks
    assert block.load is not None
    assert block.load.memory.peak is not None
    assert block.load.server_cpu_ns is not None


@proves("arrivals:closed")
def test_its_listeners_ask_again_when_served_and_never_more_are_open(played: Played, load: Load) -> None:
    first = check_closed_loop(load, listeners=LISTENERS, clients=WORKERS)
    # The listeners come evenly, as -r says, each counted from when its client began: they take turns.
    began = load.window_ns()[0] - round(WARM_UP_S * NS)
    turns = [began + round((number / PER_SECOND) * NS) for number in range(LISTENERS)]
    apart = [round(each * NS) for each in played.began_s]
    for start, due in zip(first, turns, strict=True):
        assert min(abs(start - due - each) for each in apart) <= 2 * ROUNDING_NS


@proves("keep_alive:on")
def test_each_listener_keeps_a_connection_of_its_own(load: Load) -> None:
    assert len({each.connection for each in load.seen}) == LISTENERS
    assert sum(bool(each.repetition.stages) for each in load.pairs) == LISTENERS


@proves("phase:warmup", "phase:measured", "phase:cooldown")
def test_its_phases_are_those_of_a_window_that_begins_when_all_are_ready(played: Played, load: Load) -> None:
    start_ns, end_ns = load.window_ns()
    assert load.block.wall_ns == 1.5 * NS
    # The window of a client lies as much later as the client began.
    edges = [(start_ns + round(each * NS), end_ns + round(each * NS)) for each in played.began_s]
    for each in load.pairs:
        at, phase = each.intended_ns, each.repetition.phase
        assert phase in {
            Phase.WARMUP if at < start else Phase.MEASURED if at < end else Phase.COOLDOWN for start, end in edges
        }
    # What clients prepare is no part of the warm-up: the first request of all is meant to begin with it.
    first_ns = min(each.intended_ns for each in load.pairs) - (start_ns - round(WARM_UP_S * NS))
    assert min(abs(first_ns - round(each * NS)) for each in played.began_s) <= 2 * ROUNDING_NS


@proves("metric:throughput", "metric:success_rate", "metric:goodput")
def test_its_window_has_what_the_server_sent_in_it(played: Played, load: Load) -> None:
    start_ns, end_ns = load.window_ns()
    _, highest = load.shift_ns
    sure = [each for each in load.pairs if each.seen.last_ns > start_ns + highest and each.end_ns <= end_ns]
    maybe = [each for each in load.pairs if each.end_ns > start_ns and each.seen.last_ns <= end_ns + highest]
    seconds = load.block.wall_ns / NS
    spoken = [sum(each.seen.frames for each in some) / RATE / seconds for some in (sure, maybe)]
    counted = [len(some) / seconds for some in (sure, maybe)]
    for metric, (low, high) in (("throughput", spoken), ("goodput", counted)):
        figure = played.summary(load.scenario.id, metric).median
        assert figure is not None
        assert low - 1e-9 <= figure <= high + 1e-9
    assert played.summary(load.scenario.id, "success_rate").median == 1.0


@proves("metric:latency")
def test_its_latencies_are_no_shorter_than_the_server_took(played: Played, load: Load) -> None:
    measured = [each for each in load.pairs if each.repetition.phase is Phase.MEASURED]
    assert measured
    for each in measured:
        # From the intended start to the last write, which is part of what the listener waited.
        assert each.end_ns - each.sent_ns >= each.seen.last_ns - each.seen.asked_ns - ROUNDING_NS
    latencies = sorted(each.repetition.end_ns / NS for each in measured)
    figures = played.figures(load.scenario.id)
    assert sorted(each["latency"] or 0.0 for each in figures) == pytest.approx(latencies)
    shown = played.summary(load.scenario.id, "latency").median
    assert shown is not None
    assert close(shown, median(latencies))
    assert played.row(f"closed-{LISTENERS}")[1] == str(len(measured))


@pytest.mark.parametrize("metric", ["ttfb", "ttfa", "latency", "stall", "client_lag", "rss_peak", "cpu_per_audio"])
def test_it_has_the_figures_of_any_load(played: Played, load: Load, metric: str) -> None:
    assert played.summary(load.scenario.id, metric).n


@proves("listening", "arrivals:closed")
def test_a_burst_asks_all_at_once_and_again_when_the_audio_has_been_heard_out(burst: Played) -> None:
    load = _only(burst)
    assert burst.code == 0, burst.said
    assert load.scenario.id.endswith(f"/closed-{BURST}-listening")
    load.check_stamps()
    starts = sorted(each.intended_ns for each in load.pairs)
    began_ns = load.window_ns()[0] - NS // 2
    for number, start in enumerate(starts[:BURST]):
        assert start == pytest.approx(began_ns + number * 1_000, abs=ROUNDING_NS)
    assert 1 < most_open(load.seen) <= BURST
    heard = sorted(
        round(heard_out_s([(each.intended_ns + chunk.at_ns, chunk.frames) for chunk in each.repetition.chunks]) * NS)
        for each in load.pairs
    )
    again = starts[BURST:]
    assert len(again) > BURST
    for due, start in zip(heard, again, strict=False):
        assert start == pytest.approx(due, abs=2 * ROUNDING_NS)
