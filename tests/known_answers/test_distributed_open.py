"""Open loops by Locust: Poisson arrivals shared by two client processes, and a ramp of one that ends overloaded."""

import importlib.util

import pytest

from harness.core.records.repetition import OutcomeKind
from harness.server.mock.script import Answer, Script, Step
from tests.known_answers.checks import check_poisson, check_ramp
from tests.known_answers.playing import Played, distribute
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, Load, most_open

ANSWER_S = 0.3
STEPS = (Step(wait_ms=1000 * ANSWER_S), Step(audio_share=1.0))
SLOW = Script(name="slow", answers=(Answer(steps=STEPS),))
SMALL = Script(name="small", capacity=2, answers=(Answer(steps=STEPS),))
RATE, SECONDS = 40, 2.5
FIRST, LAST = 2, 28
DRAIN_S = 0.5
WINDOW = ("--seconds", "1.5", "--warm-up", "0.6", "--cool-down", "0.4", "--text-class", "chars-12")

pytestmark = pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")


@pytest.fixture(scope="module")
def poisson(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return distribute(tmp_path_factory.mktemp("poisson"), SLOW, *WINDOW, "--rate", str(RATE), workers=2)


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return distribute(
        tmp_path_factory.mktemp("ramp"),
        SMALL,
        *WINDOW,
        "--ramp",
        f"{FIRST}:{LAST}",
        "--drain",
        f"{DRAIN_S}s",
        workers=0,
    )


def _only(played: Played) -> Load:
    (load,) = played.loads.values()
    return load


@proves("arrivals:poisson")
def test_the_parts_of_two_clients_are_one_poisson_process(poisson: Played) -> None:
    load = _only(poisson)
    assert poisson.code == 0, poisson.said
    assert load.scenario.id.endswith(f"/poisson-{RATE}")
    assert len(poisson.began_s) == 2
    check_poisson(load, rate=RATE, seconds=SECONDS, apart_s=max(poisson.began_s))
    # Nobody waits for the requests before: two clients of a closed loop would have two open.
    assert most_open(load.seen) > RATE * ANSWER_S / 2


@proves("arrivals:ramp")
def test_one_client_makes_the_whole_ramp(ramp: Played) -> None:
    load = _only(ramp)
    assert load.scenario.id.endswith(f"/ramp-{FIRST}-to-{LAST}")
    check_ramp(load, first=FIRST, last=LAST, seconds=SECONDS)


@proves("outcome:unfinished", "drain")
def test_what_a_client_gives_up_is_unfinished(ramp: Played) -> None:
    load = _only(ramp)
    left = [each for each in load.pairs if each.repetition.outcome.kind is OutcomeKind.UNFINISHED]
    # The server cannot have answered all by then: two at a time, each as long as its script says.
    over_ns = load.window_ns()[0] + round((SECONDS - 0.6 + DRAIN_S) * NS)
    assert len(left) >= len(load.pairs) - SMALL.capacity * (SECONDS + DRAIN_S) / ANSWER_S - SMALL.capacity
    assert all(each.seen.gone_ns is not None or not each.seen.complete for each in left)
    assert all(each.seen.complete for each in load.valid)
    assert len(load.valid) + len(left) == len(load.pairs)
    assert min(each.end_ns for each in left) >= over_ns
    # A target was missed: the code says so.
    assert ramp.code == 1, ramp.said
