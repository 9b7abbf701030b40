"""`run --full -k x4`: four texts in the same moment, and each alone, as the server saw them."""

from statistics import median

import pytest

from harness.core.records.repetition import Phase, Repetition
from harness.server.mock.script import Answer, Script, Step
from tests.known_answers.oracle import close
from tests.known_answers.playing import Played, play
from tests.known_answers.proofs import proves
from tests.known_answers.witness import NS, RATE, Seen, most_open

AT_ONCE, TURNS = 4, 2
SCRIPT = Script(name="pairs", capacity=TURNS, answers=(Answer(steps=(Step(wait_ms=200), Step(audio_share=1.0))),))
"""Two are answered at once, and the other two wait for their turns."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(
        tmp_path_factory.mktemp("at-once"), SCRIPT, "run", "--full", "--text", "chars-12", "--launches", "1",
        "--blocks", "1", "-k", "test_at_once and x4", "--targets", "ttfa=30,rtf=100,streaming_efficiency=0.01",
    )  # fmt: skip


@pytest.fixture
def burst(played: Played) -> list[tuple[Repetition, Seen]]:
    """The measured four, by their text's place in the log: after the first inference and the four of the warm-up."""
    repetitions = sorted(
        (each for each in played.repetitions if each.phase is Phase.MEASURED), key=lambda each: each.characters
    )
    seen = sorted(played.log.answers[1 + AT_ONCE : 1 + 2 * AT_ONCE], key=lambda each: len(each.text))
    assert [each.characters for each in repetitions] == [len(each.text) for each in seen]
    return list(zip(repetitions, seen, strict=True))


@proves("concurrency")
def test_four_are_open_at_once_and_never_more(played: Played, burst: list[tuple[Repetition, Seen]]) -> None:
    assert played.code == 0, played.said
    (scenario,) = played.run.scenarios
    assert scenario.id.endswith("/x4")
    seen = [each for _, each in burst]
    assert most_open(seen) == AT_ONCE
    assert most_open(played.log.answers) == AT_ONCE
    assert len({each.text for each in seen}) == AT_ONCE
    # Over connections that were there before any of them was asked for.
    assert len({each.connection for each in seen}) == AT_ONCE


@proves("concurrency")
def test_each_is_then_asked_for_alone_twice(played: Played, burst: list[tuple[Repetition, Seen]]) -> None:
    alone = played.log.answers[1 + 2 * AT_ONCE :]
    assert most_open(alone) == 1
    assert sorted(each.text for each in alone) == sorted(2 * [each.text for _, each in burst])


@proves("concurrency", "metric:latency", "metric:ttfc")
def test_all_begin_in_one_moment_and_wait_as_long_as_the_server_let_them(burst: list[tuple[Repetition, Seen]]) -> None:
    starts = {repetition.started_at for repetition, _ in burst}
    assert len(starts) == 1
    first_ns = min(seen.asked_ns for _, seen in burst)
    for repetition, seen in burst:
        assert repetition.outcome.valid
        # The moment was before the server had the first of them.
        assert repetition.chunks[0].at_ns >= seen.first_audio_ns - first_ns
        assert repetition.end_ns >= seen.last_ns - first_ns
        assert sum(chunk.frames for chunk in repetition.chunks) == seen.frames
    # Whoever had to wait for a turn heard nothing before that.
    waited = sorted(burst, key=lambda each: each[1].turn_ns)[TURNS:]
    assert all(seen.turn_ns > seen.asked_ns for _, seen in waited)


@proves("metric:throughput", "metric:longest_wait")
def test_throughput_and_the_longest_wait_are_of_the_burst(played: Played, burst: list[tuple[Repetition, Seen]]) -> None:
    (scenario,) = played.run.scenarios
    spoken_s = sum(seen.frames for _, seen in burst) / RATE
    shown = {name: played.summary(scenario.id, name).median for name in ("throughput", "longest_wait")}
    assert shown["throughput"] is not None
    assert shown["longest_wait"] is not None
    # From a moment before the first request until one after the last write, and before the next request.
    inner_s = (max(seen.last_ns for _, seen in burst) - min(seen.asked_ns for _, seen in burst)) / NS
    before_ns = max(each.end_ns for each in played.log.answers[: 1 + AT_ONCE])
    outer_s = (played.log.answers[1 + 2 * AT_ONCE].asked_ns - before_ns) / NS
    assert spoken_s / outer_s <= shown["throughput"] <= spoken_s / inner_s
    waits = [repetition.chunks[0].at_ns for repetition, _ in burst]
    assert close(shown["longest_wait"], max(waits) / median(waits))
    # By the server two waited twice as long as the other two.
    assert 1 < shown["longest_wait"] < 2


@proves("table:concurrency")
def test_the_printed_line_says_how_many_asked_at_once(played: Played) -> None:
    lines = played.said.splitlines()
    (number,) = [number for number, line in enumerate(lines) if "/chars-12/" in line and "verdict" not in line]
    line, below = lines[number].split(), [*lines[number + 1].split(), ""]
    # A name is folded where the figures beside it have many digits: what is left of it stands below.
    assert line[0].endswith("/x4") or (line[0] + below[0]).endswith("/x4")
    assert line[1] == str(AT_ONCE)
