"""`kokoro-bench run` against an accepted reference, as a user sees it: terminal, page, summary, JSON, exit code."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.records.run import RunKind, RunStatus
from harness.store.runs import open_store
from reports.text.format import NARROW
from tests.accepting import changed
from tests.conftest import Command

SCRIPTED = ("--engine", "scripted", "--model", "scripted", "-k", "whole and chars-12", "--budget", "40s")
OUTPUTS = ("--summary", "s.md", "--json", "b.json", "--report", "site")


@pytest.fixture
def accepted(here: Command, tmp_path: Path) -> str:
    """A folder whose only run was accepted; its id."""
    ran = here("run", *SCRIPTED)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    promoted = here("baseline", "promote", "latest", "--reason", "the first")
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    return latest(tmp_path)


def today() -> str:
    return datetime.now(tz=UTC).date().isoformat()


def latest(root: Path) -> str:
    with open_store(root / ".kokoro-bench" / "results.sqlite") as store:
        return store.resolve("latest")


def test_the_same_subject_is_said_everywhere(here: Command, tmp_path: Path, accepted: str) -> None:
    ran = here("run", *SCRIPTED, *OUTPUTS)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    same = f"othing under test changed since the acceptance of {today()} (run {accepted})"
    lines = ran.stdout.splitlines()
    assert lines[0] == f"n{same}"
    assert lines[1] == "measuring takes up to 0:40"
    assert "≡ same subject" in ran.stdout
    assert f"No change is in question: 5 figures are recorded. N{same}" in ran.stdout
    run_id = latest(tmp_path)
    page = (tmp_path / "site" / "runs" / f"{run_id}.html").read_text(encoding="utf-8")
    assert f"N{same}" in page
    assert "≡" in page
    assert f"N{same}" in (tmp_path / "s.md").read_text(encoding="utf-8")
    (benchmark,) = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["benchmarks"]
    assert benchmark["extra_info"]["reasons"]["latency"].startswith(f"n{same}")
    assert f"n{same}" in here("runs", "show", "latest").stdout


def test_a_slowdown_is_named_everywhere_with_its_pairs(here: Command, tmp_path: Path, accepted: str) -> None:
    ran = here("run", *SCRIPTED, *OUTPUTS, "--script", "pace=1.1")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    difference = "version of engine scripted plain → pace=1.1"
    lines = ran.stdout.splitlines()
    assert lines[0].endswith(f"changed since the acceptance of {today()} (run {accepted}): {difference}")
    assert lines[1].startswith("measuring takes about 0:40: 0:18 for the values of this run, then 0:22 for 1 arm")
    run_id = latest(tmp_path)
    with open_store(tmp_path / ".kokoro-bench" / "results.sqlite") as store:
        (replay,) = (row for row in store.list() if row.kind is RunKind.REPLAY)
    assert f"changed {difference}; replayed pair by pair in run {replay.id}" in ran.stdout
    page = (tmp_path / "site" / "runs" / f"{run_id}.html").read_text(encoding="utf-8")
    assert "Pair by pair with what was accepted" in page
    assert f" of a budget of 40{NARROW}s</td>" in page
    assert f'<a href="../runs/{replay.id}.html">run {replay.id}</a>' in page
    assert (tmp_path / "site" / "runs" / f"{replay.id}.html").is_file()
    summary = (tmp_path / "s.md").read_text(encoding="utf-8")
    assert f"Measured pair by pair in run {replay.id}" in summary
    assert "Suspects: version of engine scripted plain → pace=1.1" in summary
    (benchmark,) = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["benchmarks"]
    assert difference in benchmark["extra_info"]["reasons"]["latency"]
    shown = here("runs", "show", "latest").stdout
    assert f"Run {run_id}" in shown
    assert f"replayed in run {replay.id}; changed: {difference}" in shown
    assert f"replay of {run_id}" in here("runs", "list").stdout
    (latency,) = [
        each for each in json.loads(here("runs", "show", "--json").stdout)["verdicts"] if each["metric"] == "latency"
    ]
    assert (latency["suspects"][0], latency["suspect_kinds"][0]) == (difference, "engine")
    refused = here("baseline", "promote", replay.id)
    assert refused.returncode == 2
    assert f"kokoro-bench baseline promote {run_id}" in refused.stderr
    accepted_now = here("baseline", "promote", "latest", "--only", "*", "--reason", "meant")
    assert accepted_now.returncode == 0, accepted_now.stderr
    again = here("run", *SCRIPTED, "--script", "pace=1.1")
    assert again.returncode == 0
    assert f"nothing under test changed since the acceptance of {today()} (run {run_id})" in again.stdout


@pytest.mark.usefixtures("accepted")
def test_values_pairs_and_profiles_share_the_budget(here: Command) -> None:
    ran = here("run", *SCRIPTED, "--script", "pace=1.1", "--profile")
    lines = ran.stdout.splitlines()
    assert lines[0] == "0:08 of the budget of 0:40 are kept to profile each arm after measuring"
    assert lines[2].startswith("measuring takes about 0:32: 0:14 for the values of this run, then 0:18 for 1 arm")
    assert ran.stdout.count("medians of 6 profiled repetitions") == 1
    run = json.loads(here("runs", "show", "latest", "--json").stdout)["run"]
    assert run["ended_at"] - run["started_at"] <= run["budget_s"] == 40


def test_start_ups_say_why_they_are_not_replayed(here: Command) -> None:
    both = ("run", "--engine", "scripted", "--model", "scripted", "-k", "load or chars-12", "--budget", "60s")
    assert here(*both).returncode == 0
    assert here("baseline", "promote", "latest", "--reason", "the first").returncode == 0
    assert here(*both, "--script", "pace=1.1").returncode == 1
    lines = here("runs", "show", "latest").stdout.splitlines()
    (said,) = (line for line in lines if "load_time:" in line)
    assert "not replayed: start-ups, concurrent requests and soaks make no pairs" in said


def test_each_note_names_what_it_holds_of(here: Command) -> None:
    both = ("run", "--engine", "scripted", "--model", "scripted", "-k", "load or chars-12", "--budget", "60s")
    arm, slower = "scripted.cpu.tdefault", ("--script", "pace=1.1")
    assert here(*both).returncode == 0
    assert here("baseline", "promote", "latest", "--reason", "the first").returncode == 0
    ran = here(*both, *slower)
    assert f"\n{arm} (load-warm): since the acceptance" in ran.stdout
    assert f"\n{arm} (whole/chars-12/af_heart): since the acceptance" in ran.stdout
    accept = here("baseline", "promote", "latest", "--only", "*/chars-12/*", "--reason", "slower is wanted")
    assert accept.returncode == 0, accept.stdout + accept.stderr
    ran = here(*both, *slower)
    assert f"\n{arm} (whole/chars-12/af_heart): nothing under test changed since the acceptance" in ran.stdout
    assert "\nNothing under test changed" not in ran.stdout


@pytest.mark.usefixtures("accepted")
def test_replay_takes_never_and_always_and_refuses_another_value(here: Command, tmp_path: Path) -> None:
    ran = here("run", *SCRIPTED, "--script", "pace=1.1", "--replay", "never")
    assert "not replayed: --replay never" in ran.stdout
    ran = here("run", *SCRIPTED, KOKORO_BENCH_REPLAY="always")
    assert ran.returncode == 0
    assert "replayed pair by pair in run" in ran.stdout
    ran = here("run", *SCRIPTED, "--replay", "sometimes")
    assert ran.returncode == 2
    assert "replay must be one of always, never, auto" in ran.stderr.replace("'", "")


def test_a_real_worker_whose_packages_are_gone_is_compared_with_remembered_values(
    kokoro_bench: Command, here: Command, tmp_path: Path
) -> None:
    real = ("--model", "replica-small", "-k", "whole and chars-12", "--budget", "1s", "--launches", "1")
    assert kokoro_bench("run", *real).returncode == 0
    assert kokoro_bench("baseline", "promote", "latest").returncode == 0
    same = kokoro_bench("run", *real)
    assert "nothing under test changed since the acceptance of" in same.stdout
    (arm,) = changed(tmp_path / "baselines", packages=(("numpy", "0.0.1"),)).arms
    ran = here("run", *real, UV_OFFLINE="1", UV_NO_INDEX="1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "not replayed: the reference cannot be restored (" in ran.stdout
    assert "numpy==0.0.1" in ran.stdout
    assert arm.subject.engine_source


@pytest.mark.usefixtures("accepted")
def test_an_error_of_ours_ends_the_replays_with_the_run(
    here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_given: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr("harness.runner.replay.Replays.conclude", failing)
    assert here("run", *SCRIPTED, "--script", "pace=1.1").returncode == 70
    with open_store(tmp_path / ".kokoro-bench" / "results.sqlite") as store:
        replay, run = (store.head(row.id) for row in store.list()[:2])
    assert replay.selection == f"replay of {run.id}: scripted.cpu.tdefault"
    for ended in (replay, run):
        assert (ended.status, ended.reason) == (RunStatus.FAILED, "ValueError: a fault of ours")
