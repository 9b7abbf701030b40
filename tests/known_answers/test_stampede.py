"""A stampede over HTTP, in a suite of the user's own: one text from everybody in one moment, by the server's log."""

import pytest

from harness.core.records.repetition import Phase
from harness.server.mock.script import Answer, Script, Step
from tests.known_answers.playing import EASY, Played, play
from tests.known_answers.proofs import proves
from tests.known_answers.witness import Seen, most_open

AT_ONCE, BLOCKS = 4, 2
SCRIPT = Script(name="stampede", answers=(Answer(steps=(Step(wait_ms=300), Step(audio_share=1.0))),))
SUITE = f"""
from harness.runner.pytest_marker import scenarios
from harness.core.records.scenario import Mode


@scenarios(Mode.ENDPOINT, quick=("chars-12",), concurrencies=({AT_ONCE},), stampede=True)
def test_everybody_at_once(measured, benchmark):
    measured.replay(benchmark)
    measured.check()
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    root = tmp_path_factory.mktemp("stampede")
    (root / "test_mine.py").write_text(SUITE, encoding="utf-8")
    return play(
        root, SCRIPT, "run", "test_mine.py", *EASY, "--launches", "1", "--blocks", str(BLOCKS), "-k", "everybody"
    )


def _bursts(played: Played) -> list[list[Seen]]:
    """The requests of the warm-up and of each block. The log's first is the launch's first inference."""
    asked, bursts = list(played.log.answers[1:]), []
    while asked:
        text = asked[0].text
        bursts.append([each for each in asked if each.text == text])
        asked = [each for each in asked if each.text != text]
    return bursts


@proves("concurrency", "stampede")
def test_all_ask_for_one_text_in_one_moment_and_each_block_for_another(played: Played) -> None:
    assert played.code == 0, played.said
    (scenario,) = played.run.scenarios
    assert scenario.id.endswith(f"/chars-12/af_heart/rotating/stampede-{AT_ONCE}")
    bursts = _bursts(played)
    # One for the warm-up, one for each block; after a block each text is asked for alone, to compare the answers.
    assert len(bursts) == 1 + BLOCKS
    for burst in bursts:
        together = burst[:AT_ONCE]
        assert most_open(together) == AT_ONCE
        assert len({each.connection for each in together}) == AT_ONCE
        assert most_open(burst[AT_ONCE:] or burst[:1]) == 1
    measured = [each for each in played.repetitions if each.phase is Phase.MEASURED]
    assert [sum(each.block == block for each in measured) for block in range(BLOCKS)] == [AT_ONCE] * BLOCKS
    for block in range(BLOCKS):
        ours = [each for each in measured if each.block == block]
        assert len({each.started_at for each in ours}) == 1
        assert len({each.variant for each in ours}) == 1


@proves("stampede")
def test_every_answer_of_a_stampede_was_heard_whole(played: Played) -> None:
    for repetition in played.repetitions:
        seen = next(each for each in played.log.answers if len(each.text) == repetition.characters)
        assert repetition.outcome.valid
        assert sum(chunk.frames for chunk in repetition.chunks) == seen.frames
