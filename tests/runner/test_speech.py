"""`kokoro-bench run` judges the audio that it kept; without the tools the timing is kept, with the reason."""

import re
from pathlib import Path

import pytest

from harness.core.records.verdict import Summary
from harness.measure.speech.runtime import VARIABLE
from harness.store.audio import read_speech
from harness.store.runs import open_store
from tests.conftest import Command
from tests.speech_tools import say, stand_in

RUN = (
    "run", "--engine", "espeak", "--text", "chars-12", "--launches", "1", "--blocks", "2", "--precision", "0.5",
    "--budget", "3s",
)  # fmt: skip


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in(tmp_path_factory.mktemp("tools"))


def summaries(folder: Path) -> dict[str, Summary]:
    """Metric → its summary, of the scenario that speaks."""
    with open_store(folder / ".kokoro-bench/results.sqlite") as store:
        (run,) = store.list()
        found = store.load(run.id).summaries
    return {each.metric: each for each in found if "/whole/" in each.scenario_id}


def test_a_run_tells_what_is_said_and_keeps_it_beside_the_audio(here: Command, tools: Path, tmp_path: Path) -> None:
    say(tools, "Something else.")
    found = here(*RUN, "--report", "site", KOKORO_BENCH_QUALITY="on", **{VARIABLE: str(tools)})
    assert found.returncode == 0, found.stderr
    told = summaries(tmp_path)
    assert told["dnsmos_p808"].median == 3.5
    assert (told["word_errors"].median, told["word_count"].median) == (5, 3)
    assert re.search(r" 5 of 3 ", found.stdout)
    assert '"Word errors">5 of 3<' in (tmp_path / "site/models.html").read_text(encoding="utf-8")
    assert told["wer"].median == pytest.approx(5 / 3)  # none of three words is heard, and two others are
    assert told["leading_silence"].n or told["leading_silence"].reason
    assert re.search(r"^after measuring, judging \d+ s of speech takes about \d+ s", found.stdout, re.MULTILINE)
    assert "judging the audio: its words and its quality" in found.stdout
    (run,) = (tmp_path / ".kokoro-bench" / "audio").iterdir()
    sheet = read_speech(run.parent, run.name)
    assert sheet is not None
    assert {(each.transcript, each.language) for each in sheet.readings} == {("Something else.", "en-us")}
    assert {each.words.errors for each in sheet.readings if each.words} == {5}


def test_without_the_tools_the_timing_is_kept_with_the_reason(here: Command, tmp_path: Path) -> None:
    nothing = {"KOKORO_BENCH_OFFLINE": "", "UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_NO_CACHE": "1"}
    found = here(*RUN, "--quality", "on", **nothing)
    assert found.returncode == 0, found.stderr
    told = summaries(tmp_path)
    assert told["latency"].median
    for name in ("wer", "cer", "word_errors", "dnsmos_overall", "dnsmos_signal", "dnsmos_p808", "loudness"):
        assert told[name].reason.startswith("the speech tools cannot be had: "), name
    assert "speed is measured without them" in found.stdout


def test_quality_off_judges_nothing_and_says_so(here: Command, tools: Path, tmp_path: Path) -> None:
    found = here(*RUN, "--quality", "off", **{VARIABLE: str(tools)})
    assert summaries(tmp_path)["wer"].reason == "its audio was not analysed"
    assert "judging" not in found.stdout
    (run,) = (tmp_path / ".kokoro-bench" / "audio").iterdir()
    assert read_speech(run.parent, run.name) is None


def test_quality_is_on_or_off(here: Command) -> None:
    found = here("run", "--quality", "maybe")
    assert found.returncode == 2
    assert "quality must be one of on, off, not 'maybe'" in found.stderr
