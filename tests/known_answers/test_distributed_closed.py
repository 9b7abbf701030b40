"""Listeners of Locust's, of two client processes and a master, against the mock server's log."""

import importlib.util
import os

import pytest

from harness.records.repetition import Phase
from harness.records.run import RunStatus
from harness.server.script import Answer, Script, Step
from tests.known_answers.checks import check_closed_loop
from tests.known_answers.playing import Played, distribute
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, RATE, Load

STEPS = (Step(wait_ms=50), Step(audio_share=0.5), Step(wait_ms=50), Step(audio_share=0.5))
STEADY = Script(name="steady", answers=(Answer(steps=STEPS),))
WORKERS, LISTENERS = 2, 4

# Looked up, not imported: importing it replaces sockets, threads and locks of the whole process.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return distribute(
        tmp_path_factory.mktemp("distributed"), STEADY, "-u", str(LISTENERS), "-r", str(LISTENERS), "--seconds", "2",
        "--warm-up", "1", "--cool-down", "0.5", "--text-class", "chars-12", workers=WORKERS,
    )  # fmt: skip


@pytest.fixture
def load(played: Played) -> Load:
    (load,) = played.loads.values()
    return load


def test_every_request_that_the_server_saw_is_in_the_run(played: Played, load: Load) -> None:
    assert played.code == 0, played.said
    assert played.run.status is RunStatus.COMPLETE
    assert load.scenario.id.endswith(f"/endpoint/chars-12/af_heart/rotating/closed-{LISTENERS}")
    assert len(load.pairs) == len(played.log.answers)
    assert dict(played.launches[0].facts.options)["clients"] == str(WORKERS)
    assert f"closed-{LISTENERS}" in played.said
    # Texts change with every request, as far as the class has them.
    assert len({each.repetition.variant for each in load.pairs}) > LISTENERS


def test_it_is_stored_and_reported_like_any_other(played: Played) -> None:
    page = (played.root / f"reports/site/runs/{played.run.id}.html").read_text(encoding="utf-8")
    assert "listeners" in page
    assert f"({os.getpid()})" in dict(played.launches[0].facts.options)["server_process"]
    (block,) = played.blocks
    assert block.load is not None
    assert block.load.memory.peak is not None
    assert block.load.server_cpu_ns is not None


@proves("arrivals:closed")
def test_its_listeners_ask_again_when_served_and_never_more_are_open(played: Played, load: Load) -> None:
    came = check_closed_loop(load, listeners=LISTENERS, clients=WORKERS)
    # They come evenly, as -r says, from when their client began on, unless a client was late.
    latest_s = max(map(float, dict(played.launches[0].facts.options)["began"].split(", ")))
    late_ns = round(latest_s * NS) + max(each.repetition.lag_ns or 0 for each in load.pairs) + load.slack_ns
    for number, start in enumerate(came):
        assert abs(start - came[0] - number * NS / LISTENERS) <= late_ns


@proves("keep_alive:on")
def test_each_listener_keeps_a_connection_of_its_own(load: Load) -> None:
    assert len({each.connection for each in load.seen}) == LISTENERS
    assert sum(bool(each.repetition.stages) for each in load.pairs) == LISTENERS


@proves("phase:warmup", "phase:measured", "metric:throughput", "metric:success_rate", "metric:goodput")
def test_its_window_has_what_the_server_sent_in_it(played: Played, load: Load) -> None:
    start_ns, end_ns = load.window_ns()
    # The window is placed by each client's own beginning; the first client's is the run's.
    apart_ns = round(max(map(float, dict(played.launches[0].facts.options)["began"].split(", "))) * NS)
    for each in load.pairs:
        inside = start_ns <= each.intended_ns < end_ns, start_ns <= each.intended_ns - apart_ns < end_ns
        assert (each.repetition.phase is Phase.MEASURED) in inside
    assert {each.repetition.phase for each in load.pairs} >= {Phase.WARMUP, Phase.MEASURED}
    _, highest = load.shift_ns
    sure = [each for each in load.pairs if each.seen.last_ns > start_ns + highest and each.end_ns <= end_ns]
    maybe = [each for each in load.pairs if each.end_ns > start_ns and each.seen.last_ns <= end_ns + highest]
    figure = played.summary(load.scenario.id, "throughput").median
    assert figure is not None
    seconds = load.block.wall_ns / NS
    low, high = (sum(each.seen.frames for each in some) / RATE / seconds for some in (sure, maybe))
    assert 0 < low - 1e-9 <= figure <= high + 1e-9
    assert played.summary(load.scenario.id, "success_rate").median == 1.0
    goodput = played.summary(load.scenario.id, "goodput").median
    assert goodput is not None
    assert len(sure) / seconds - 1e-9 <= goodput <= len(maybe) / seconds + 1e-9


@pytest.mark.parametrize("metric", ["ttfb", "ttfa", "latency", "stall", "client_lag", "rss_peak", "cpu_per_audio"])
def test_it_has_the_figures_of_any_load(played: Played, load: Load, metric: str) -> None:
    assert played.summary(load.scenario.id, metric).n
