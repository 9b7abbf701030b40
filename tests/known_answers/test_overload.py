"""`load --sweep` beyond what a server of known capacity can do: where it ends, what is unfinished, and that it ends."""

import pytest

from harness.core.records.repetition import OutcomeKind, Phase
from harness.server.mock.script import Answer, Script, Step
from tests.known_answers.playing import EASY, Played, play
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, Load, Pair

ANSWER_S, CAPACITY = 0.4, 2
SCRIPT = Script(
    name="small", capacity=CAPACITY, answers=(Answer(steps=(Step(wait_ms=1000 * ANSWER_S), Step(audio_share=1.0))),)
)
"""Five answers a second."""
LIGHT, HEAVY, UNTRIED = "constant-2", "constant-25", "constant-50"
DRAIN_S = 0.8


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(
        tmp_path_factory.mktemp("overload"), SCRIPT, "load", *EASY, "--sweep", "--rate", "2,25,50", "--arrivals",
        "constant", "--text", "chars-12", "--seconds", "1.5s", "--warm-up", "0.5s", "--cool-down", "0.2s", "--drain",
        f"{DRAIN_S}s",
    )  # fmt: skip


def _unfinished(load: Load) -> list[Pair]:
    return [each for each in load.pairs if each.repetition.outcome.kind is OutcomeKind.UNFINISHED]


@proves("sweep")
def test_a_sweep_ends_with_the_load_that_is_beyond_the_capacity(played: Played) -> None:
    assert list(played.loads) == [LIGHT, HEAVY]
    assert played.code == 0, played.said
    # By the server's own times: it kept up with one, and could not have kept up with the other.
    light, heavy = played.loads[LIGHT], played.loads[HEAVY]
    assert all(each.complete for each in light.seen)
    assert len(heavy.pairs) * ANSWER_S / CAPACITY > 2.2 + DRAIN_S
    assert f"highest sustained load: {LIGHT.partition('-')[2]} (" in played.said
    assert f"{UNTRIED}: not tried, since {HEAVY} did not meet every target" in played.said
    assert played.row(UNTRIED)[-1] == "not tried"
    assert played.row(HEAVY)[-1] != "✓ met"


@proves("outcome:unfinished", "metric:success_rate")
def test_what_the_client_gave_up_is_unfinished_and_has_no_figures(played: Played) -> None:
    load = played.loads[HEAVY]
    left = _unfinished(load)
    assert left
    # Exactly those whose client went away before their answer was complete: of the others the server wrote the end.
    for each in load.pairs:
        assert each.repetition.outcome.valid == (each.repetition.outcome.kind is not OutcomeKind.UNFINISHED)
        if each.repetition.outcome.valid:
            assert each.seen.complete
        else:
            assert each.seen.gone_ns is not None or not each.seen.complete
    measured = [each for each in load.pairs if each.repetition.phase is Phase.MEASURED]
    valid = [each for each in measured if each.repetition.outcome.valid]
    assert played.summary(load.scenario.id, "success_rate").median == pytest.approx(len(valid) / len(measured))
    assert played.summary(load.scenario.id, "latency").n == len(valid)
    assert f": {len(left)} × unfinished: not complete when waiting for answers ended" in played.said


@proves("drain")
def test_answers_are_waited_for_as_long_as_was_said(played: Played) -> None:
    load = played.loads[HEAVY]
    traffic = load.scenario.traffic
    assert traffic is not None
    began_ns = min(each.intended_ns for each in load.pairs)
    over_ns = began_ns + round((traffic.total_s + DRAIN_S) * NS)
    ends = [each.end_ns for each in _unfinished(load)]
    assert min(ends) >= over_ns - 1_000_000
    # All are given up in one moment, by a client that was as late as its own timer; waiting would have taken longer.
    assert max(ends) - over_ns <= load.slack_ns + (max(ends) - min(ends))
    assert max(ends) - began_ns < len(load.pairs) * ANSWER_S / CAPACITY * NS


@proves("capacity")
def test_the_server_never_did_more_than_its_capacity(played: Played) -> None:
    """The witness itself: turns do not overlap more than the script allows."""
    for load in played.loads.values():
        worked = [each for each in load.seen if each.writes]
        moments = sorted([(each.turn_ns, 1) for each in worked] + [(each.end_ns, -1) for each in worked])
        working = 0
        for _, change in moments:
            working += change
            assert working <= CAPACITY
