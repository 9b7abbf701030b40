"""`load --users 2 --listen`, over a new connection each, in the raycast dialect: who listens, and what is sent."""

import pytest

from harness.server.mock.script import Answer, Script, Step
from tests.known_answers.oracle import heard_out_s
from tests.known_answers.playing import EASY, Played, play
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, ROUNDING_NS, Load, Pair, most_open

STEPS = (Step(wait_ms=30), Step(audio_share=0.5), Step(wait_ms=30), Step(audio_share=0.5))
QUICK = Script(name="quick", answers=(Answer(steps=STEPS),))
"""An answer is there long before its listener has heard it."""
LISTENERS = 2


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(
        tmp_path_factory.mktemp("listening"), QUICK, "load", *EASY, "--users", str(LISTENERS), "--listen", "--text",
        "chars-12", "--seconds", "2s", "--warm-up", "0.5s", "--cool-down", "0.5s", "--voice", "af_sky",
        "--endpoint-options", "keep_alive=off,dialect=raycast,format=wav",
    )  # fmt: skip


@pytest.fixture
def load(played: Played) -> Load:
    (load,) = played.loads.values()
    return load


def test_it_is_called_what_it_is(played: Played, load: Load) -> None:
    assert played.code == 0, played.said
    assert load.scenario.traffic is not None
    assert load.scenario.id.endswith("/chars-12/af_sky/rotating/closed-2-listening")
    assert all(each.repetition.outcome.valid for each in load.pairs)


def _heard_out_ns(pair: Pair) -> tuple[int, int]:
    """When its audio has been played to the end: by the server's writes, and by the client's stamps; in own clocks."""
    writes = [(write.at_ns, write.frames) for write in pair.seen.writes]
    chunks = [(pair.intended_ns + chunk.at_ns, chunk.frames) for chunk in pair.repetition.chunks]
    return round(heard_out_s(writes) * NS), round(heard_out_s(chunks) * NS)


@proves("listening", "arrivals:closed")
def test_a_listener_asks_again_only_when_the_audio_has_been_played_to_its_end(load: Load) -> None:
    load.check_stamps()
    lowest, highest = load.shift_ns
    # Each listener's first request, evenly over the warm-up, then one at each end of a listening.
    heard = sorted((_heard_out_ns(each) for each in load.pairs), key=lambda each: each[1])
    again = sorted(load.pairs, key=lambda each: each.intended_ns)[LISTENERS:]
    assert len(again) > 2
    for (by_server, by_client), later in zip(heard, again, strict=False):
        assert later.intended_ns == pytest.approx(by_client, abs=2 * ROUNDING_NS)
        # The server had long sent it, and saw the next request only when it could have been played.
        assert by_server - highest <= later.intended_ns + ROUNDING_NS
        assert later.seen.asked_ns >= by_server - (highest - lowest) - ROUNDING_NS
    assert most_open(load.seen) <= LISTENERS


@proves("keep_alive:off")
def test_every_request_has_a_connection_of_its_own_whose_making_counts(played: Played, load: Load) -> None:
    assert len({each.connection for each in load.seen}) == len(load.seen)
    for each in load.pairs:
        (mark,) = each.repetition.stages
        assert mark.stage == "connect"
        assert 0 <= mark.start_ns <= mark.end_ns <= each.repetition.end_ns
    used = {each.connection for each in played.log.answers} | {each["connection"] for each in played.log.others}
    # The worker connects once to see whether the server can be reached.
    assert len(set(played.log.connections) - used) <= 1
    assert all(each.headers["connection"] == "close" for each in load.seen)


@proves("dialect")
def test_requests_are_in_the_dialect_and_for_what_was_asked(load: Load) -> None:
    for each in load.seen:
        said = dict(each.body)
        assert said.pop("text") == each.text
        assert (said.pop("format"), said.pop("voice"), said.pop("stream")) == ("wav", "af_sky", True)
        assert "input" not in said
        assert "response_format" not in said
