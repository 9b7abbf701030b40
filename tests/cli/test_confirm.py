"""`kokoro-bench schedule confirm`: the duels of alerts, against what the scripted engine is known to do."""

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.schedule_alerts import confirm
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.core.records.schedule import Alert, AlertKind, Confirmation
from harness.plan.matrix import ScenarioRequest
from harness.runner.bisect.places import arm_places
from harness.runner.explain import Between
from harness.schedule.job import Job
from harness.schedule.job_store import JobStore
from harness.store import schedule_log
from harness.store.errors import AwayError
from harness.store.runs import open_store
from tests.accepting import accept
from tests.conftest import Command, Laboratory

PROJECT = """
[tool.kokoro-bench]
engine = "scripted"
model = "scripted"
script = "{script}"
launches = 2
blocks = 3
quality = "off"
"""
REQUESTS = (ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12", "chars-60")),)
SHORT, LONG = (f"scripted.cpu.tdefault/whole/{text}/af_heart" for text in ("chars-12", "chars-60"))


class Found:
    """A run of the job "nightly" in which alerts were found, as the scheduler stores them."""

    def __init__(self, here: Command, root: Path) -> None:
        self.here, self.root = here, root
        self.lab = Laboratory(root)
        self.runs: list[str] = []

    def measure(self, script: str) -> RunData:
        """A run of an engine with this script, which then is the one of the configuration."""
        (self.root / "pyproject.toml").write_text(PROJECT.format(script=script))
        data = self.lab.run(requests=REQUESTS, replay="never", launches="2", blocks="3").data
        self.runs.append(data.run.id)
        return data

    def alert(self, subject: str, metric: str = "latency", **changes: Any) -> int:
        with open_store(self.root / ".kokoro-bench" / "results.sqlite") as store:
            journal, run_id, now = store.journal(), self.runs[-1], time.time()
            with JobStore(journal, "here") as job_store:
                job_store.put(Job(name="nightly", every_s=3_600.0, confirm_s=90.0), now=now, origin="command")
            journal.enqueue(
                runner="here", job="nightly", due_at=1.0, asked=True, missed=0, now=now, machine_key="scripted"
            )
            journal.change(journal.open_fires("here")[0].key, run_id=run_id)
            values: dict[str, Any] = {
                "key": 0, "machine_key": "scripted", "kind": AlertKind.REGRESSION, "subject": subject,
                "metric": metric, "run_id": run_id, "opened_at": now, "sentence": "worse", "size": 0.1, "low": 0.08,
                "high": 0.12, "closed_at": None, "closed_by": "", "trouble": "", "found_in": run_id,
                "confirmation": Confirmation.WAITING,
            }  # fmt: skip
            return journal.open_alert(Alert(**{**values, **changes}))

    def reasons(self) -> list[str]:
        with open_store(self.root / ".kokoro-bench" / "results.sqlite") as store:
            return [each.confirmation_reason for each in reversed(store.journal().alerts())]

    def duels(self) -> list[str]:
        """The selections of the confirming duels."""
        with open_store(self.root / ".kokoro-bench" / "results.sqlite") as store:
            return [row.selection for row in store.list() if "confirmation of" in row.selection]


@pytest.fixture
def found(here: Command, tmp_path: Path) -> Found:
    return Found(here, tmp_path)


@pytest.fixture
def accepted(found: Found) -> Found:
    """An engine at its usual pace was accepted."""
    accept(found.lab.config().baselines, found.measure("noise=0.01"))
    return found


def test_planted_slowdown_in_two_texts_is_shown_by_one_duel(accepted: Found) -> None:
    run_id = accepted.measure("noise=0.01,pace=1.1").run.id
    keys = [accepted.alert(SHORT), accepted.alert(LONG)]
    shown = accepted.here("schedule", "confirm", *map(str, keys))
    assert shown.returncode == 1, shown.stdout + shown.stderr
    assert accepted.duels() == [f"replay of {run_id}: confirmation of scripted.cpu.tdefault"]
    for text in ("chars-12", "chars-60"):
        [line] = [each for each in shown.stdout.splitlines() if f" {text} " in each and " latency " in each]
        assert "▲ worse" in line
        assert 8 < float(line.split("+")[1].split(" ")[0]) < 12
    assert accepted.reasons() == ["", ""]


def test_noise_alarm_is_shown_as_unchanged(accepted: Found) -> None:
    accepted.measure("noise=0.01,pace=1.0")
    shown = accepted.here("schedule", "confirm", str(accepted.alert(SHORT)))
    assert shown.returncode == 0, shown.stdout + shown.stderr
    [line] = [each for each in shown.stdout.splitlines() if " latency " in each]
    assert "= unchanged" in line


def test_full_disk_is_waited_for(
    found: Found, user_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found.measure("noise=0.01")
    alert = found.alert(SHORT)
    monkeypatch.chdir(found.root)
    for name in user_environment.keys() - os.environ.keys():
        monkeypatch.setenv(name, user_environment[name])
    writing, full = schedule_log.writing, [AwayError("the disk is full", where="results.sqlite")]

    def until_freed(database: Any) -> Any:
        if full:
            raise full.pop()
        return writing(database)

    monkeypatch.setattr(schedule_log, "writing", until_freed)
    shown = CliRunner().invoke(confirm, [str(alert)], standalone_mode=False)
    assert (shown.exception, shown.return_value) == (None, 3)
    assert "results.sqlite: the disk is full; trying again for 90 s" in shown.output
    assert found.reasons() == ["no reference was accepted for it"]


def test_step_without_baseline_is_compared_with_run_before_it(found: Found) -> None:
    before = found.measure("noise=0.01").run.id
    found.measure("noise=0.01,pace=0.9")
    alert = found.alert(SHORT, compared_with=before, kind=AlertKind.IMPROVEMENT)
    shown = found.here("schedule", "confirm", str(alert))
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"pair by pair with run {before}" in shown.stdout
    [line] = [each for each in shown.stdout.splitlines() if " latency " in each]
    assert "▼ better" in line


def test_what_cannot_be_compared_says_why_and_is_exit_code_3(found: Found) -> None:
    before = found.measure("noise=0.01").run.id
    first = found.alert(SHORT)
    shown = found.here("schedule", "confirm", str(first))
    assert shown.returncode == 3
    assert found.reasons() == ["no reference was accepted for it"]
    gone = found.alert(LONG, compared_with="20000101-000000-gone")
    same = found.alert(SHORT, compared_with=before)
    assert found.here("schedule", "confirm", str(gone), str(same)).returncode == 3
    assert found.reasons()[1:] == [
        "run 20000101-000000-gone is no longer stored", f"nothing under test differs from run {before}"
    ]  # fmt: skip
    (found.root / "pyproject.toml").write_text(PROJECT.format(script="noise=0.01,pace=3"))
    assert found.here("schedule", "confirm", str(same)).returncode == 3
    assert found.reasons()[2].startswith("what is under test has changed since the run (version of engine scripted")
    assert found.duels() == []


def test_budget_that_suffices_for_nothing_says_what_is_needed(accepted: Found) -> None:
    accepted.measure("noise=0.01,pace=1.1")
    shown = accepted.here("schedule", "confirm", str(accepted.alert(LONG)), "--budget", "1s")
    assert shown.returncode == 3
    assert "it needs a budget of about " in accepted.reasons()[0]


def test_bad_input_is_one_line_and_exit_code_2(found: Found) -> None:
    found.measure("noise=0.01")
    alert = found.alert(SHORT)
    failed = found.alert("nightly", "", kind=AlertKind.FAILURE)
    other = found.alert(LONG, found_in="another")
    for given, says in (
        (["99"], "99: no alert has this number — kokoro-bench schedule status"),
        ([str(failed)], f"alert {failed}: no duel can confirm it"),
        ([str(alert), str(other)], f"alert {other} was found in run another, and alert {alert} in {found.runs[0]}"),
        ([str(other)], "another: no schedule made this run"),
    ):
        shown = found.here("schedule", "confirm", *given)
        assert (shown.returncode, says in shown.stderr, shown.stderr.count("\n")) == (2, True, 1), shown.stderr


def test_bisection_of_alert_is_on_its_page(accepted: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted.measure("noise=0.01,pace=1.2")
    key = accepted.alert(SHORT, confirmation=Confirmation.CONFIRMED)
    scripts = [f"script=noise=0.01 pace={pace}" for pace in ("1", "1.0", "1.2", "1.20")]
    found = Between(subject="arms", places=arm_places(scripts))
    monkeypatch.setattr("harness.runner.explain.between", lambda *_given, **_named: found)
    shown = accepted.here("schedule", "explain", str(key), "--budget", "120s")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    answer = "script=noise=0.01 pace=1.2 changed latency by +"
    assert answer in shown.stdout
    assert f"culprit: {answer[:1].upper()}{answer[1:]}" in accepted.here("schedule", "alert", str(key)).stdout
    assert accepted.here("report").returncode == 0
    site = accepted.root / "reports" / "site"
    html = (site / "alerts" / f"{key}.html").read_text(encoding="utf-8")
    [page] = (site / "bisections").glob("*.html")
    assert f'<a href="../bisections/{page.name}">' in html


def test_bisection_of_alert_whose_end_is_lost_ends_with_3(accepted: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted.measure("noise=0.01,pace=1.2")
    key = accepted.alert(SHORT, confirmation=Confirmation.CONFIRMED)
    found = Between(
        subject="arms", places=arm_places(["script=pace=1", "script=pace=1.2", "script=fault=exit-at-load"])
    )
    monkeypatch.setattr("harness.runner.explain.between", lambda *_given, **_named: found)
    shown = accepted.here("schedule", "explain", str(key), "--budget", "120s")
    assert shown.returncode == 3, shown.stderr
    assert "good and bad cannot be compared: the candidate was lost: " in shown.stderr


def test_undecided_bisection_of_alert_says_how_it_goes_on(accepted: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted.measure("noise=0.01,pace=1.2")
    key = accepted.alert(SHORT, confirmation=Confirmation.CONFIRMED)
    scripts = [f"script=noise=0.03{number} pace={1 if number < 20 else 1.1}" for number in range(10, 30)]
    found = Between(subject="arms", places=arm_places(scripts))
    monkeypatch.setattr("harness.runner.explain.between", lambda *_given, **_named: found)
    shown = accepted.here("schedule", "explain", str(key), "--budget", "80s")
    assert "Undecided" in shown.stdout
    goes_on = f"next: The bisection goes on where it ended: `kokoro-bench schedule explain {key}`."
    assert goes_on in accepted.here("schedule", "alert", str(key)).stdout


def test_title_of_alert_has_the_size_that_the_duel_confirmed(accepted: Found) -> None:
    accepted.measure("noise=0.01,pace=1.2")
    sizes = {"size": 0.2, "low": 0.19, "high": 0.21}
    confirmed = {"confirmed_size": 0.1, "confirmed_low": 0.09, "confirmed_high": 0.11}
    key = accepted.alert(SHORT, confirmation=Confirmation.CONFIRMED, **sizes, **confirmed)
    other = accepted.alert(SHORT, confirmation=Confirmation.UNDECIDED, **sizes)
    title = "Latency got worse: +{}\u202f%"
    shown = accepted.here("schedule", "alert", str(key)).stdout
    assert shown.startswith(f"Alert {key}: {title.format('10.5')} (open)")
    assert re.search("Found by the gate: [+](19|20)[.][0-9]\u202f%", shown), "what the run found is in the body"
    assert title.format("22.1") in accepted.here("schedule", "alert", str(other)).stdout
    assert accepted.here("report").returncode == 0
    site = accepted.root / "reports" / "site"
    for page in (site / "alerts" / f"{key}.html", site / "alerts.html"):
        assert title.format("10.5") in page.read_text(encoding="utf-8")


def test_one_step_needs_no_bisection(accepted: Found) -> None:
    accepted.measure("noise=0.01,pace=1.2")
    key = accepted.alert(SHORT, confirmation=Confirmation.CONFIRMED)
    shown = accepted.here("schedule", "explain", str(key))
    assert (shown.returncode, shown.stdout) == (0, "no bisection: neither packages nor revisions differ\n")
    assert "Culprit" in accepted.here("schedule", "alert", str(key), "--markdown").stdout
