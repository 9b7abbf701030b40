"""A constant rate that two of Locust's clients share, of a server that fails in known ways, against its log."""

import importlib.util
from collections import Counter

import pytest

from harness.core.records.repetition import OutcomeKind, Phase
from harness.server.mock.script import Answer, End, Script, Step
from tests.known_answers.playing import Played, distribute
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, ROUNDING_NS, Load, Seen

GOOD = Answer(steps=(Step(wait_ms=40), Step(audio_share=1.0)))
BUSY = Answer(status=503, steps=(Step(body=b'{"error": "busy"}'),), content_type="application/json")
CUT = Answer(steps=(Step(wait_ms=20), Step(audio_share=0.5), Step(end=End.CLOSE)))
SCRIPT = Script(name="failing", answers=(GOOD, GOOD, BUSY, GOOD, CUT), cycle=True)
WORKERS, ARRIVALS, WARM_UP_S, SECONDS, COOL_DOWN_S = 2, 20, 0.5, 1.5, 0.5

pytestmark = pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return distribute(
        tmp_path_factory.mktemp("failing"), SCRIPT, "--rate", str(ARRIVALS), "--arrivals", "constant", "--seconds",
        str(SECONDS), "--warm-up", str(WARM_UP_S), "--cool-down", str(COOL_DOWN_S), "--text-class", "chars-12",
        workers=WORKERS,
    )  # fmt: skip


@pytest.fixture
def load(played: Played) -> Load:
    (load,) = played.loads.values()
    return load


def _is_good(seen: Seen) -> bool:
    """Whether the body has an end of its own: the last write is that end, but where the server has hung up."""
    return seen.status == 200 and not seen.writes[-1].frames


@proves("arrivals:constant")
def test_the_clients_take_turns_at_a_constant_rate(played: Played, load: Load) -> None:
    load.check_stamps()
    assert load.scenario.id.endswith(f"/constant-{ARRIVALS}")
    began_ns = load.window_ns()[0] - round(WARM_UP_S * NS)
    apart = [round(each * NS) for each in played.began_s]
    assert len(apart) == WORKERS
    starts = sorted(each.intended_ns for each in load.pairs)
    assert len(starts) == ARRIVALS * (WARM_UP_S + SECONDS + COOL_DOWN_S)
    # Each start of the schedule is one client's, counted from when that client began, and every other is the other's.
    client_of = {}
    for start in starts:
        numbers = [(start - began_ns - each) * ARRIVALS / NS for each in apart]
        off = [abs(number - round(number)) * NS / ARRIVALS for number in numbers]
        client = off.index(min(off))
        assert off[client] <= 2 * ROUNDING_NS
        client_of[round(numbers[client])] = client
    assert sorted(client_of) == list(range(len(starts)))
    if max(apart) > 4 * ROUNDING_NS:
        assert all(client_of[number] == client_of[number % WORKERS] for number in client_of)


@proves("phase:warmup", "phase:measured", "phase:cooldown")
def test_each_phase_has_the_requests_of_its_time(load: Load) -> None:
    assert Counter(each.repetition.phase for each in load.pairs) == {
        Phase.WARMUP: ARRIVALS * WARM_UP_S,
        Phase.MEASURED: ARRIVALS * SECONDS,
        Phase.COOLDOWN: ARRIVALS * COOL_DOWN_S,
    }


@proves("outcome:error", "outcome:invalid-audio", "outcome:valid", "table:failures")
def test_each_failure_is_the_one_that_the_server_made(played: Played, load: Load) -> None:
    for each in load.pairs:
        outcome, seen = each.repetition.outcome, each.seen
        expected = (OutcomeKind.VALID, "") if _is_good(seen) else (OutcomeKind.INVALID_AUDIO, "truncated")
        expected = (OutcomeKind.ERROR, "http-503") if seen.status == 503 else expected
        assert (outcome.kind, outcome.fault) == expected
    made = sum(each.status == 503 for each in load.seen)
    assert made == len(load.pairs) / len(SCRIPT.answers)
    assert f": {made} × error (http-503): " in played.said


@proves("metric:success_rate")
def test_the_rate_of_success_is_that_of_the_servers_good_answers(played: Played, load: Load) -> None:
    measured = [each.seen for each in load.pairs if each.repetition.phase is Phase.MEASURED]
    good = sum(map(_is_good, measured))
    assert 0 < good < len(measured)
    assert played.summary(load.scenario.id, "success_rate").median == pytest.approx(good / len(measured))
    # A target was missed, and nothing else went wrong.
    assert played.code == 1, played.said
