"""How long judging the speech will take, as a run says at its beginning, is held against what the run then keeps.

The expectation is written out here: 15 characters are a second of speech; the tools load in 3 s of CPU time, each
recording takes 1.2 s and each second of speech 0.1 s, together rounded up to 5 s. Speech of two launches is kept.
"""

import re
from pathlib import Path

import pytest

from harness.measure.speech.runtime import VARIABLE
from tests.conftest import Command
from tests.speech_tools import say, stand_in

SAID = r"^after measuring, judging (\d+) s of speech takes about (\d+) s \(`--quality off`: none\)$"
ONCE = ("run", "--engine", "espeak", "-k", "whole", "--blocks", "1", "--budget", "2s")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in(tmp_path_factory.mktemp("tools"))


def text_of(characters: int) -> str:
    """A text of exactly so many characters."""
    return f"{'word ' * (characters // 5 - 1)}words"[: characters - 1] + "."


@pytest.mark.parametrize(
    ("characters", "launches", "kept", "seconds", "takes"),
    [
        (60, 1, 1, 4, 5),  # 3 + 1.2 + 0.4 = 4.6; the other recording that a longer run keeps is not counted
        (150, 3, 2, 20, 10),  # 3 + 2.4 + 2 = 7.4
        (240, 2, 2, 32, 10),  # 3 + 2.4 + 3.2 = 8.6
    ],
)
def test_judging_is_said_for_each_recording_that_is_then_kept(
    here: Command, tools: Path, tmp_path: Path, characters: int, launches: int, kept: int, seconds: int, takes: int
) -> None:
    say(tools, "Hello.")
    text = text_of(characters)
    assert len(text) == characters
    quality = {"KOKORO_BENCH_QUALITY": "on", VARIABLE: str(tools)}
    ended = here(*ONCE, "--say", text, "--launches", str(launches), **quality)
    assert ended.returncode == 0, ended.stderr
    assert len(list((tmp_path / ".kokoro-bench/audio").glob("*/*.flac"))) == kept
    assert re.findall(SAID, ended.stdout, re.MULTILINE) == [(str(seconds), str(takes))]


def test_of_speech_that_is_too_long_to_be_kept_nothing_is_said(here: Command, tools: Path, tmp_path: Path) -> None:
    ended = here(*ONCE, "--say", text_of(300), "--launches", "1", KOKORO_BENCH_QUALITY="on", **{VARIABLE: str(tools)})
    assert ended.returncode == 0, ended.stderr
    assert not list((tmp_path / ".kokoro-bench/audio").glob("*/*.flac"))
    assert "judging" not in ended.stdout
