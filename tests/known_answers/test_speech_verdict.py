"""The quality verdict through the commands: a faster variant that says something else fails and is not recommended.

The judge is scripted: its readings are planted where those of the real one arrive. Its tools and the real model have
tests of their own.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.analysis.audio_comparison import compare_all
from harness.analysis.conclude import Conclusions
from harness.analysis.speech_quality import with_speech
from harness.core.records.run import RunData
from harness.core.records.speech import EditCounts, SpeechReading
from harness.core.records.value import known
from harness.runner.duel_causes import Profiler
from harness.runner.side_tasks import Explain, SideTasks
from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("no_pages")

ORIGINAL, FAST = "scripted.cpu.tdefault", "scripted-8bit.cpu.tdefault"
BOTH = ("--engine", "scripted", "--model", "scripted,scripted-8bit", "--launches", "2", "--blocks", "3")
RUN = ("run", *BOTH, "-k", "text_lengths", "--text", "chars-12")
EXACT = 0.0

Plant = Callable[..., None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Let the judge find words in error, and an estimate, in the audio of the faster variant."""

    def planting(*, errors: int = 0, mos: float = 3.5, launches: tuple[int, ...] = (0, 1)) -> None:
        def reading(scenario_id: str, launch: int) -> SpeechReading:
            fast = scenario_id.startswith(FAST)
            words = EditCounts(reference=10, substituted=errors if fast and launch in launches else 0)
            return SpeechReading(
                scenario_id=scenario_id, launch=launch, text="text", language="en-us", audio_sha256="", seconds=1.0,
                readings={"wer": known(words.errors / 10), "dnsmos_overall": known(mos if fast else 3.5)},
                words=words, judge="scripted",
            )  # fmt: skip

        complete = SideTasks.complete

        def completed(self: SideTasks, conclusions: Conclusions, data: RunData, explain: Explain) -> Conclusions:
            def explained(found: Conclusions, data: RunData, profile: Profiler) -> Conclusions:
                readings = tuple(reading(each.id, launch) for each in data.run.scenarios for launch in (0, 1))
                judged, _ = with_speech(found, readings, compare_all(data, self._recording), data)
                return explain(judged, data, profile)

            return complete(self, conclusions, data, explained)

        monkeypatch.setattr(SideTasks, "complete", completed)

    return planting


def row(output: str, arm: str) -> str:
    """The line of an arm in the table side by side."""
    table = output.partition("Side by side")[2]
    return next(line for line in table.splitlines() if line.strip().startswith(arm))


def recommended(here: Command, *options: str) -> str:
    found = here("recommend", "--engine", "scripted", "--for", "throughput", *options)
    assert found.returncode == 0, found.stderr
    return " ".join(found.stdout.split())


def test_a_faster_variant_that_says_something_else_fails_and_is_not_recommended(here: Command, plant: Plant) -> None:
    plant(errors=4)
    ran = here(*RUN)
    assert ran.returncode == 3
    assert "exit code 3: speech is broken; what was measured is stored" in ran.stdout
    assert "broken" in row(ran.stdout, FAST)
    assert "original" in row(ran.stdout, ORIGINAL)
    assert "Its speech is broken: 4 of 10 words are not recognised, 0 of the original's" in ran.stdout
    assert "The speech is broken in " in ran.stdout

    said = recommended(here)
    assert f"excluded: {FAST}: Its speech is broken: 4 of 10 words" in said
    assert f"{ORIGINAL}: nothing else was measured to choose from" in said
    assert f"{FAST}; the second best, {ORIGINAL}, is " in recommended(here, "--ignore-quality")


def test_words_lost_in_one_launch_are_shown_as_a_count_and_never_averaged(here: Command, plant: Plant) -> None:
    plant(errors=4, launches=(1,))
    ran = here(*RUN, "--summary", "summary.md")
    assert ran.returncode == 3
    table = ran.stdout.partition("Side by side")[0].splitlines()
    heads, *rows = (re.split(r"\s{2,}", line.strip()) for line in table if re.match(r" *(scenario|scripted\S*) ", line))
    assert [row[heads.index("word errors")] for row in rows] == ["0 of 10", "4 of 10"]
    summary = Path("summary.md").read_text(encoding="utf-8").partition("### Speech")[2]
    assert "| broken | 4 of 10 | 0 of 10 | Its speech is broken" in summary
    exported = [json.loads(line) for line in here("runs", "export", "latest", "--format", "jsonl").stdout.splitlines()]
    values = {
        (each["record"]["scenario_id"].partition("/")[0], each["record"]["metric"]): each["record"]["median"]
        for each in exported
        if each["kind"] == "summary"
    }
    found = {arm: tuple(values[arm, name] for name in ("word_errors", "word_count", "wer")) for arm in (ORIGINAL, FAST)}
    assert found == {ORIGINAL: (0.0, 10.0, 0.0), FAST: (4.0, 10.0, 0.4)}


def test_a_variant_that_sounds_worse_is_different_fails_nothing_and_is_not_recommended(
    here: Command, plant: Plant
) -> None:
    plant(mos=2.9)
    ran = here(*RUN, "--summary", "summary.md")
    assert ran.returncode == 0, ran.stdout
    assert "different" in row(ran.stdout, FAST)
    summary = Path("summary.md").read_text(encoding="utf-8").partition("### Speech")[2]
    assert "| different | 0 of 10 | 0 of 10 | Its speech is different from the original's" in summary
    assert "dnsmos_overall is 2.90, the original's 3.50" in ran.stdout
    assert f"excluded: {FAST}: Its speech is different from the original's" in recommended(here)
    assert f"{FAST}; the second best" in recommended(here, "--ignore-quality")


def test_an_equivalent_variant_is_recommended(here: Command, plant: Plant) -> None:
    plant()
    ran = here(*RUN)
    assert ran.returncode == 0, ran.stdout
    assert "equivalent" in row(ran.stdout, FAST)
    whole = rf"\n {FAST}/whole/chars-12 .* 0 of 10 .* equivalent  · no baseline"
    assert re.search(whole, ran.stdout), "nothing is folded in a pipe"
    said = recommended(here)
    assert f"{FAST}; the second best, {ORIGINAL}, is " in said
    assert "excluded" not in said


def test_the_suites_test_of_a_broken_variant_fails_and_no_other(here: Command, plant: Plant) -> None:
    plant(errors=4)
    ran = here(*RUN, "--pytest-output")
    failed = [line for line in ran.stdout.splitlines() if line.startswith("FAILED ")]
    assert failed, ran.stdout
    assert all("scripted-8bit" in line for line in failed)
    assert "speech: failed: Its speech is broken: 4 of 10 words are not recognised" in ran.stdout
    exported = here("runs", "export", "latest", "--format", "jsonl").stdout
    verdicts = [line["record"] for line in map(json.loads, exported.splitlines()) if line["kind"] == "verdict"]
    speech = {each["scenario_id"].partition("/")[0]: each["kind"] for each in verdicts if each["metric"] == "speech"}
    assert speech == {FAST: "failed"}


def test_tune_drops_what_says_something_else(here: Command, plant: Plant) -> None:
    plant(errors=4)
    arguments = (
        "tune",
        "--engine",
        "scripted",
        "--model",
        "scripted",
        "--budget",
        "30s",
        "--try",
        "model=scripted-8bit",
    )
    found = here(*arguments)
    said = " ".join(found.stdout.split())
    assert "model=scripted-8bit: " in said
    assert "dropped: Its speech is broken: 4 of 10 words" in said
    assert "no candidate is equivalent to its original: the configured arm stays" in said
    ignoring = here(*arguments, "--ignore-quality")
    assert "dropped: Its speech" not in " ".join(ignoring.stdout.split())
    assert "session = ort.InferenceSession(" in ignoring.stdout
