"""`load --rate` with Poisson arrivals, and `load --ramp`: requests come by the schedule, whatever becomes of them."""

import math

import pytest

from harness.server.mock.script import Answer, Script, Step
from tests.known_answers.checks import check_poisson, check_ramp
from tests.known_answers.playing import EASY, Played, play
from tests.known_answers.proofs import proves
from tests.known_answers.witness import Load, most_open

SLOW_S = 0.4
SLOW = Script(name="slow", answers=(Answer(steps=(Step(wait_ms=1000 * SLOW_S), Step(audio_share=1.0))),))
RATE, SECONDS = 40.0, 3.0
FIRST, LAST = 4.0, 36.0
WINDOW = ("--text", "chars-12", "--seconds", "2s", "--warm-up", "0.6s", "--cool-down", "0.4s")
"""3 s in all."""


@pytest.fixture(scope="module")
def poisson(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("poisson"), SLOW, "load", *EASY, *WINDOW, "--rate", "40", "--seed", "7")


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("ramp"), SLOW, "load", *EASY, *WINDOW, "--ramp", "4:36")


def _only(played: Played) -> Load:
    (load,) = played.loads.values()
    return load


@proves("arrivals:poisson")
def test_poisson_arrivals_have_exponential_gaps_of_the_mean_that_was_asked_for(poisson: Played) -> None:
    load = _only(poisson)
    assert load.scenario.id.endswith("/poisson-40")
    check_poisson(load, rate=RATE, seconds=SECONDS)


@proves("arrivals:poisson", "arrivals:ramp")
@pytest.mark.parametrize("name", ["poisson", "ramp"])
def test_nobody_waits_for_the_requests_before(name: str, request: pytest.FixtureRequest) -> None:
    load = _only(request.getfixturevalue(name))
    # In the time that an answer takes, so many more come: a closed loop of a few would have none.
    assert most_open(load.seen) > RATE * SLOW_S / 2
    for each in load.pairs:
        assert each.sent_ns - each.intended_ns <= load.slack_ns


@proves("arrivals:ramp")
def test_a_ramp_has_the_count_of_its_rate_in_each_tenth(ramp: Played) -> None:
    load = _only(ramp)
    assert load.scenario.id.endswith("/ramp-4-to-36")
    check_ramp(load, first=FIRST, last=LAST, seconds=SECONDS)


@proves("metric:latency", "metric:percentiles")
def test_latencies_count_from_the_intended_start_and_percentiles_are_of_all_of_them(poisson: Played) -> None:
    load = _only(poisson)
    figures = poisson.figures(load.scenario.id)
    assert len(figures) > 40
    for metric in ("latency", "ttfa"):
        values = [each[metric] for each in figures]
        summary = poisson.summary(load.scenario.id, metric)
        assert summary.p95 == pytest.approx(_quantile(values, 0.95))
        assert summary.p90 == pytest.approx(_quantile(values, 0.90))
        # 200 are needed for that.
        assert summary.p99 is None
        assert min(value for value in values if value is not None) >= SLOW_S
    cells = poisson.row("poisson-40")
    assert cells[1] == str(len(figures))
    assert cells[4] == "–"


def _quantile(values: list[float | None], share: float) -> float:
    """By linear interpolation between the ordered values, written anew."""
    ordered = sorted(value for value in values if value is not None)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
