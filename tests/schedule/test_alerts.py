"""What is news, and what is not: pure."""

from dataclasses import replace
from typing import Any

from harness.core.records.schedule import Alert, AlertKind
from harness.schedule.alerts import Finding, Findings, alert_of, news, of_job, of_verdicts
from tests.conftest import Laboratory

REGRESSION = AlertKind.REGRESSION


def finding(metric: str = "latency", size: float = 0.10, subject: str = "whole", run: str = "run-9") -> Finding:
    return Finding(
        kind=REGRESSION, subject=subject, metric=metric, run_id=run, sentence="worse", size=size, low=size - 0.02,
        high=size + 0.02,
    )  # fmt: skip


def reported(*findings: Finding, **changes: Any) -> list[Alert]:
    made = [alert_of(each, machine_key="m", now=1.0) for each in findings]
    return [replace(each, key=number, **changes) for number, each in enumerate(made)]


def said(*findings: Finding, right: tuple[Finding, ...] = ()) -> list[Findings]:
    return [Findings(wrong=findings, right=frozenset(each.key for each in right))]


def test_a_step_is_told_once_and_its_recovery_once() -> None:
    first = news(said(finding()), [])
    assert (len(first.reported), first.recovered) == (1, ())
    again = news(said(finding()), reported(finding()))
    assert (again.reported, again.joined, again.recovered) == ((), (), ())
    over = news(said(right=(finding(),)), reported(finding()))
    assert [alert.metric for alert in over.recovered] == ["latency"]
    assert news(said(right=(finding(),)), reported(finding(), closed_at=2.0)).recovered == ()


def test_a_night_that_cannot_tell_changes_nothing() -> None:
    assert news(said(), reported(finding())) == news([], [])


def test_a_second_step_on_top_is_told_and_a_wobble_is_not() -> None:
    open_alerts = reported(finding(size=0.10))
    assert news(said(finding(size=0.13)), open_alerts).reported == ()
    assert len(news(said(finding(size=0.25)), open_alerts).reported) == 1
    assert news(said(finding(size=0.25)), [*open_alerts, *reported(finding(size=0.25))]).reported == ()


def test_the_same_step_in_another_figure_joins_and_is_not_told() -> None:
    runs = [f"run-{number}" for number in range(20)]
    found = news(said(finding("rtf", run="run-11")), reported(finding(run="run-9")), runs=runs)
    assert (len(found.reported), len(found.joined)) == (0, 1)
    later = news(said(finding("rtf", run="run-16")), reported(finding(run="run-9")), runs=runs)
    assert (len(later.reported), len(later.joined)) == (1, 0)
    elsewhere = news(said(finding("rtf", subject="stream", run="run-11")), reported(finding(run="run-9")), runs=runs)
    assert len(elsewhere.reported) == 1


def test_metric_that_has_recovered_from_a_step_is_told_of_again() -> None:
    """The other metric of the step is still open: its noise hides that it has recovered too."""
    runs = [f"run-{number}" for number in range(20)]
    slow = reported(finding("rtf", run="run-9"))
    recovered = reported(finding(run="run-9"), closed_at=2.0)
    found = news(said(finding(run="run-11")), [*slow, *recovered], runs=runs)
    assert ([each.metric for each in found.reported], found.joined) == (["latency"], ())
    earlier = [replace(each, opened_at=0.5, closed_at=0.7) for each in recovered]
    assert len(news(said(finding(run="run-11")), [*slow, *earlier], runs=runs).joined) == 1


def test_what_is_wrong_by_one_witness_is_not_right_by_another() -> None:
    found = news([*said(finding()), *said(right=(finding(),))], reported(finding()))
    assert found.recovered == ()


def test_a_job_that_fails_is_told_once_until_it_works_again() -> None:
    failed = of_job("nightly", run_id="", failed="killed by SIGKILL")
    [alert] = [alert_of(each, machine_key="m", now=1.0) for each in news([failed], []).reported]
    assert alert.kind is AlertKind.FAILURE
    assert news([failed], [alert]).reported == ()
    assert news([of_job("other", run_id="", failed="")], [alert]).recovered == ()
    assert news([of_job("nightly", run_id="r", failed="")], [alert]).recovered == (alert,)


def test_a_target_that_a_figure_without_an_interval_misses_says_so(lab: Laboratory) -> None:
    few = lab.run(launches="1", blocks="2", targets="rtf=0.01").data
    told_of = {each.subject: each.sentence for each in of_verdicts(few).wrong}
    assert "scripted.cpu.tdefault/whole/chars-12/af_heart" in told_of
    assert all(sentence.endswith(", 0.010; 2 values: no interval") for sentence in told_of.values()), told_of
    enough = lab.run(launches="2", blocks="4", targets="rtf=0.01").data
    assert not any("no interval" in each.sentence for each in of_verdicts(enough).wrong)
