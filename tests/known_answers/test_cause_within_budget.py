"""A budget holds for everything that is measured: the profiles of a cause and those of each arm are a part of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.core.records.profile import FEWEST_REPETITIONS
from tests.conftest import Command
from tests.known_answers.test_suspects import CHANGED

pytestmark = pytest.mark.usefixtures("no_pages")

DUEL = (
    "duel",
    "model=scripted-8bit",
    "model=scripted",
    "--engine",
    "scripted",
    "--text",
    "chars-12,chars-60,chars-200",
)
NOISY = ("--script", "pace=2,noise=0.06")


def duel(here: Command, *options: str) -> tuple[dict[str, Any], str]:
    """The run as JSON, and what the command said while it ran."""
    found = here(*DUEL, *options, "--json")
    assert found.returncode == 0, found.stderr
    result: dict[str, Any] = json.loads(found.stdout)
    return result, found.stderr


def taken_s(result: dict[str, Any]) -> float:
    """Seconds from the beginning of the run to its end, with the profiles."""
    run = result["run"]
    return float(run["ended_at"] - run["started_at"])


def suspects(result: dict[str, Any], text: str) -> list[str]:
    """The suspects of the latency of a text."""
    verdicts = [each for each in result["verdicts"] if each["metric"] == "latency" and text in each["scenario_id"]]
    return [suspect for each in verdicts for suspect in each["suspects"]]


def test_a_change_that_is_shown_while_time_is_left_is_profiled_within_the_budget(here: Command, tmp_path: Path) -> None:
    result, said = duel(here, "--budget", "300s", *NOISY)
    assert "measuring takes up to 5:00; this includes the cause of a change" in said
    assert result["run"]["reason"] == "a change is shown after 11 blocks, and the rest of the budget is for its cause"
    assert taken_s(result) <= 300
    assert suspects(result, "chars-12")[0].startswith(f"operator {CHANGED}: ")
    (sheet,) = (tmp_path / ".kokoro-bench" / "traces").glob("*/*.json")
    (profiled,) = [each for each in json.loads(sheet.read_text(encoding="utf-8"))["profiled"] if not each.get("reason")]
    assert profiled["repetitions"] >= FEWEST_REPETITIONS


def test_a_change_that_only_the_last_pairs_show_is_not_profiled_but_says_which_budget_would_do(here: Command) -> None:
    result, said = duel(here, "--budget", "240s", *NOISY)
    assert "a change was found" not in said
    assert taken_s(result) <= 240
    (reason,) = [each for each in suspects(result, "chars-12") if each.startswith("operators: ")]
    found = re.fullmatch(
        r"operators: not profiled \(it takes about 21 s, and (\d+) s of the budget were left: `--budget (\d+)s`\)",
        reason,
    )
    assert found is not None, reason
    assert int(found[1]) < 21
    longer, _ = duel(here, "--budget", f"{found[2]}s", *NOISY)
    assert re.match(rf"(operator|node scripted/){CHANGED}", suspects(longer, "chars-12")[0])


def test_a_decided_duel_profiles_every_text_that_the_rest_of_the_budget_reaches(here: Command) -> None:
    result, said = duel(here, "--budget", "300s", "--script", "pace=1")
    for text in ("chars-12", "chars-60", "chars-200"):
        assert said.count(f"a change was found: profiling both sides of {text}, up to") == 1
        assert suspects(result, text)[0].startswith(f"operator {CHANGED}")
    assert taken_s(result) <= 300


def test_nothing_is_profiled_and_no_time_is_kept_where_nothing_changed(here: Command) -> None:
    script = ("--script", "pace=1,noise=0.08")
    found = here("duel", "current", "current", *DUEL[3:], "--model", "scripted", "--budget", "100s", *script, "--json")
    result = json.loads(found.stdout)
    assert "a change was found" not in found.stderr
    assert result["run"]["reason"].startswith(("the planned", "the budget"))
    assert 85 <= taken_s(result) <= 100


def profiled_run(here: Command, budget: str) -> tuple[dict[str, Any], str]:
    """The run as JSON, and what the command said."""
    chosen = ("--engine", "scripted", "--model", "scripted,scripted-8bit", "--text", "chars-12", "-k", "text_lengths")
    found = here("run", *chosen, "--script", "noise=0.3", "--blocks", "99", "--budget", budget, "--profile")
    assert found.returncode == 0, found.stdout + found.stderr
    result: dict[str, Any] = json.loads(here("runs", "show", "latest", "--json").stdout)
    return result, found.stdout


def test_a_run_keeps_a_share_of_its_budget_to_profile_each_arm(here: Command) -> None:
    result, said = profiled_run(here, "20s")
    assert "0:04 of the budget of 0:20 are kept to profile each arm after measuring" in said
    assert result["run"]["reason"] == "the run's own values had 16 of the budget's 20 s, which were spent"
    assert result["run"]["budget_s"] == 20
    assert taken_s(result) <= 20
    assert said.count("medians of 6 profiled repetitions") == 1
    (refused,) = [each for each in result["run"]["notes"] if each.startswith("not profiled: ")]
    found = re.fullmatch(
        r"not profiled: scripted\.[^:]*: it takes about 3 s, and (\d) s of the budget were left: `--budget (\d+s)`",
        refused,
    )
    assert found is not None, refused
    assert int(found[1]) < 3
    longer, said = profiled_run(here, found[2])
    assert longer["run"]["reason"].startswith("the run's own values had ")
    assert taken_s(longer) <= int(found[2][:-1])
    assert said.count("medians of 6 profiled repetitions") == 2


def test_an_undecided_duel_profiles_no_arm_beyond_its_budget(here: Command) -> None:
    chosen = (*DUEL[3:], "--model", "scripted", "--budget", "100s", "--script", "pace=1,noise=0.08", "--profile")
    result = json.loads(here("duel", "current", "current", *chosen, "--json").stdout)
    assert 85 <= taken_s(result) <= 100
    refused = [each for each in result["run"]["notes"] if each.startswith("not profiled: ")]
    assert refused
    assert all(re.search(r": it takes about \d+ s, and \d+ s of the budget were left$", each) for each in refused)
