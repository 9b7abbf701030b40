"""Actions after a scheduled run: send alerts, promote the run, write the site, remove old data.

A change that the run has found is first confirmed by a duel, in a due time of its own; the alert and the promotion of
the run wait for it. If a step fails, it reports the error, and the schedule goes on. If the database stays unavailable,
the schedule ends, and its next start repeats the actions: each has an effect once.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeVar
from uuid import uuid4

from harness.analysis.alert_words import alert_page
from harness.analysis.subjects import subject_of
from harness.core.errors import BenchError
from harness.core.records.run import RunData
from harness.core.records.schedule import Alert, AlertEnding, AlertKind, Confirmation, Fire, FireOutcome, FireState
from harness.core.records.verdict import TargetKind, VerdictKind
from harness.core.redaction import published, published_record, published_text
from harness.metrics.registry import METRICS
from harness.schedule import alerts, history_findings
from harness.schedule.alerts import Findings
from harness.schedule.confirmation import (
    Decision,
    confirmation_rows,
    decide,
    enqueue_confirmation,
    enqueue_explanation,
    waiting_alerts,
)
from harness.schedule.endings import DEFAULT_POLICY, AlertPolicy, endings
from harness.schedule.history_findings import Tested
from harness.schedule.job import Job
from harness.schedule.notifiers import Line, Message
from harness.schedule.outbox import Outbox
from harness.schedule.promotion import note_refusal, refusal
from harness.schedule.retention import Retention
from harness.store.errors import AwayError
from harness.store.rows import SeriesPoint
from harness.store.runs import RunStore
from harness.store.schedule_log import ScheduleLog

Result = TypeVar("Result")

MOST_LINKS = 5
"""The text of a message links so many of its alerts. The JSON has the address of each."""
FAILURES = (FireOutcome.FAILED, FireOutcome.INTERRUPTED, FireOutcome.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRunActions:
    """The actions after a run. `publish` writes the site.

    `link_of` returns the address of a run's page, `alert_link_of` that of an alert's page.
    """

    store: RunStore
    journal: ScheduleLog
    machine_key: str
    outbox: Outbox
    promote: Callable[[RunData], int]
    publish: Callable[[], None]
    link_of: Callable[[str], str]
    retention: Retention
    say: Callable[[str], None]
    policy: AlertPolicy = DEFAULT_POLICY
    alert_link_of: Callable[[int], str] = alert_page
    accepted: Callable[[Alert, RunData | None], bool] = lambda _alert, _data: False
    """Whether the level that an alert on a regression reported was accepted, as far as a run shows."""

    def of(self, fire: Fire, job: Job, *, now: float) -> None:
        """Run all actions for a due time that has ended. Raises AwayError if the database stays unavailable."""
        if fire.explains is not None:
            self._try(lambda: self._note_failure(fire))
            self._try(self.publish)
            return
        measured = fire.confirms or fire.run_id
        data = self._try(lambda: published(self.store.load(measured))) if measured else None
        if fire.confirms:
            self._try(lambda: self._tell_confirmed(fire, data, now=now))
            self._try(lambda: self._explain(fire, job, now=now))
        else:
            self._try(lambda: self._tell_news(fire, data, job, now=now))
        self._try(lambda: self.outbox.send(fire.runner, now=now))
        if data is not None and not self._try(lambda: self._is_confirmed_first(fire, now=now)):
            self._try(lambda: self._promote(data, job))
        self._try(self.publish)
        self._try(lambda: self.retention.apply(now=now))

    def resume(self, runner: str, *, now: float) -> None:
        """Queue the confirmations, and send the messages, that a kill or a failing database has left out."""
        waiting = {each.found_in for each in self.journal.alerts() if each.confirmation is Confirmation.WAITING}
        for run_id in sorted(waiting):
            fire = self.journal.fire_of_run(run_id)
            if fire is not None and fire.runner == runner and fire.state is FireState.ENDED:
                enqueue_confirmation(self.journal, fire, now=now)
        self._try(lambda: self.outbox.send(runner, now=now))

    def is_refuted(self, run_id: str) -> bool:
        """Whether duels have shown nothing of what made a run worse."""
        [outline] = self.store.outlines([run_id])
        refuted = {
            (each.subject, each.metric)
            for each in self.journal.alerts()
            if each.found_in == run_id and each.ending is AlertEnding.NOT_CONFIRMED
        }
        worse = {(each.scenario_id, each.metric) for each in outline.verdicts if each.fails}
        return worse <= refuted and not any(each.kind is TargetKind.MISSED for each in outline.targets)

    def _try(self, step: Callable[[], Result]) -> Result | None:
        try:
            return self.outbox.retry(step)
        except AwayError:
            raise
        except BenchError as error:
            self.say(str(error))
        except Exception as error:  # noqa: BLE001 - the measurement is stored; nothing that follows may end the schedule
            self.say(f"{type(error).__name__}: {error} — this is a fault of the harness; the schedule goes on")
        return None

    def _tell_news(self, fire: Fire, data: RunData | None, job: Job, *, now: float) -> None:
        """Store what is new. Send what no duel has to confirm, and queue the duel for the rest."""
        machine = data.run.machine.key if data else self.machine_key
        known = [each for each in self.journal.alerts() if each.machine_key in (machine, fire.runner)]
        found = [alerts.of_job(fire.job, run_id=fire.run_id, failed=_failure(fire))]
        if data is not None and data.run.status.is_finished:
            history = self._of_history(data, known)
            found += [alerts.of_verdicts(data), history, self._over(data, known)]
            for each in history.of_machine:
                self.say(f"{each.sentence}: not from what was under test, so this is the machine's and raises no alert")
        rows = reversed(self.store.list(machine_key=machine, limit=history_findings.NEAR))
        runs = [row.id for row in rows if not row.kind.compares_arms]
        ended = self._try(
            lambda: endings(known, self.policy, at=_began(data, now), accepted=lambda alert: self.accepted(alert, data))
        )
        news = alerts.news(found, known, runs=runs, ended=ended, policy=self.policy)
        to_send: list[tuple[alerts.Finding, int]] = []
        with self.journal.together() as log:
            for each in (*news.reported, *news.joined):
                waits = bool(job.confirm_s) and each.kind in alerts.CHANGES and each in news.reported
                key = log.open_alert(
                    alerts.alert_of(
                        each, machine_key=fire.runner if each.kind is AlertKind.FAILURE else machine, now=now,
                        found_in=fire.run_id, confirmation=Confirmation.WAITING if waits else None,
                    )
                )  # fmt: skip
                if each in news.reported and not waits:
                    to_send.append((each, key))
            self._add(*_by_event([(_line_of_finding(each), key) for each, key in to_send]), to=log, fire=fire, now=now)
            for ending, closed in news.ended.items():
                closed_keys = [alert.key for alert in closed]
                log.close_alerts(closed_keys, closed_at=now, closed_by=fire.run_id or fire.job, ending=ending)
                # The end of a gain, or of what was never reported, is recorded and not sent.
                gone = [
                    (_line_of_alert(each), each.key)
                    for each in closed
                    if each.kind is not AlertKind.IMPROVEMENT and each.confirmation is not Confirmation.WAITING
                ]
                self._add((ending.value, gone), to=log, fire=fire, now=now)

    def _is_confirmed_first(self, fire: Fire, *, now: float) -> bool:
        """Whether a duel has to confirm what a run has found, which is queued now; its promotion waits for that."""
        if fire.confirms or not fire.run_id or not waiting_alerts(self.journal, fire.run_id):
            return False
        if enqueue_confirmation(self.journal, fire, now=now):
            self.say(f"{fire.run_id} is confirmed by a duel before it is reported and before it may be promoted")
        return True

    def _tell_confirmed(self, fire: Fire, data: RunData | None, *, now: float) -> None:
        """Send the alerts of a run that its duel shows or leaves open; close those that it does not show."""
        rows = [each for each in confirmation_rows(self.store, fire.confirms) if each.status.is_finished]
        duels = [published(each) for each in self.store.outlines([row.id for row in rows])]
        otherwise = published_text(fire.reason) or "it was not measured"
        suspects = {(each.scenario_id, each.metric): each.suspected for each in data.verdicts} if data else {}
        decided: list[tuple[Alert, Decision]] = [
            (each, decide(each, duels, otherwise=otherwise)) for each in waiting_alerts(self.journal, fire.confirms)
        ]
        lines = []
        for alert, decision in sorted(decided, key=lambda each: each[1].state is not Confirmation.CONFIRMED):
            if decision.state is not Confirmation.NOT_CONFIRMED:
                line = _line_of_alert(alert, decision)
                own = decision.suspects or suspects.get((alert.subject, alert.metric), ())
                sentences, kinds = tuple(each.sentence for each in own), tuple(each.kind for each in own)
                lines.append((replace(line, suspects=sentences, suspect_kinds=kinds), alert.key))
        with self.journal.together() as log:
            self._add(*_by_event(lines), to=log, fire=fire, now=now)
            for alert, decision in decided:
                log.note_confirmation(
                    alert.key, state=decision.state, reason=decision.sentence, confirmed_by=decision.run_id,
                    change=decision.change,
                )  # fmt: skip
                if decision.state is Confirmation.NOT_CONFIRMED:
                    log.close_alerts(
                        [alert.key], closed_at=now, closed_by=decision.run_id, ending=AlertEnding.NOT_CONFIRMED
                    )
        for alert, decision in decided:
            self.say(f"{alert.sentence}: {decision.sentence}")

    def _explain(self, fire: Fire, job: Job, *, now: float) -> None:
        """Queue the bisection of a confirmed regression of a run: one for the run, of the most telling metric."""
        found = [
            each
            for each in self.journal.alerts()
            if each.found_in == fire.confirms
            and each.confirmation is Confirmation.CONFIRMED
            and each.kind is AlertKind.REGRESSION
            and not each.explanation
        ]
        if job.explain != "bisect" or not found:
            return
        order = [*METRICS]
        first = min(found, key=lambda each: (each.metric != "latency", order.index(each.metric), each.key))
        enqueue_explanation(self.journal, fire, first, now=now)

    def _note_failure(self, fire: Fire) -> None:
        """Say with an alert why its bisection has no answer."""
        if fire.explains is not None and fire.outcome is not FireOutcome.OK:
            reason = published_text(fire.reason) or "it was interrupted"
            self.journal.note_explanation(fire.explains, f"no bisection: {reason}")

    def _add(self, *events: tuple[str, Sequence[tuple[Line, int]]], to: ScheduleLog, fire: Fire, now: float) -> None:
        """Store the lines of each event as one message, to be sent. Each line has the key of its alert."""
        for event, lines in events:
            if lines:
                with_pages = tuple(replace(line, alert=key, page=self.alert_link_of(key)) for line, key in lines)
                self.outbox.add(self._message(event, with_pages, fire), to=to, runner=fire.runner, now=now)

    def _message(self, event: str, lines: tuple[Line, ...], fire: Fire) -> Message:
        first = _title(lines[0]) + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
        word = "" if event == "alert" else f"{event}: "
        run_id = fire.confirms or fire.run_id
        link = self.link_of(run_id) if run_id else ""
        suspects = list(dict.fromkeys(suspect for line in lines for suspect in line.suspects))
        text = [f"{word}{line.sentence}{'; ' if line.confirmation else ''}{line.confirmation}" for line in lines]
        text += [f"suspects: {'; '.join(suspects)}"] if suspects else []
        text += [f"job {fire.declared_job}, run {run_id or 'none'}, machine {self.machine_key}"]
        text += [f"report: {link}"] if link else []
        text += [f"alert {line.alert}: {line.page}" for line in lines[:MOST_LINKS]]
        text += [f"duel: {self.link_of(duel)}" for duel in dict.fromkeys(line.duel for line in lines) if duel]
        message = Message(
            event=event, subject=f"kokoro-bench: {word}{first}", text="\n".join(text), run=run_id,
            machine=self.machine_key, job=fire.declared_job, link=link, alerts=lines, id=uuid4().hex,
        )  # fmt: skip
        return published_record(message)  # an alert that an earlier version kept may have a folder in it

    def _of_history(self, data: RunData, known: Sequence[Alert]) -> Findings:
        machine = data.run.machine.key

        def trends(
            scenario_id: str, metric: str, *, newest: int | None = None, verdicts: bool = True
        ) -> Sequence[SeriesPoint]:
            return self.store.series(metric, scenario_id, machine, limit=newest, verdicts=verdicts)

        names = self.store.series_names(machine_key=machine)
        lines = sum(each.metric in METRICS and METRICS[each.metric].gated for each in names)
        return history_findings.of_history(data, trends, known, lines=lines, policy=self.policy, tested=self._tested)

    def _over(self, data: RunData, known: Sequence[Alert]) -> Findings:
        """The open changes that a run shows to be gone together with the runs before it, while its verdict is open."""
        undecided = {(each.scenario_id, each.metric) for each in data.verdicts if each.kind is VerdictKind.INCONCLUSIVE}
        right = set()
        for alert in known:
            if alert.closed_at is None and (alert.subject, alert.metric) in undecided:
                line = self.store.series(
                    alert.metric, alert.subject, data.run.machine.key, limit=alerts.ENOUGH, verdicts=True
                )
                since = [
                    point.verdict
                    for point in reversed(line)
                    if point.verdict and point.status.is_finished and point.started_at > alert.opened_at
                ]
                right |= {alerts.key_of(alert)} if alerts.is_over(alert, since) else set()
        return Findings(right=frozenset(right))

    def _tested(self, scenario_id: str, metric: str, run_ids: Sequence[str]) -> Sequence[Tested]:
        """What each run had under test for a scenario. What runs behind a URL is unknown."""
        found = {
            outline.run.id: Tested(
                subject=subject_of(scenario.arm, outline),
                verdict=next(
                    (each for each in outline.verdicts if (each.scenario_id, each.metric) == (scenario_id, metric)),
                    None,
                ),
            )
            for outline in self.store.outlines(run_ids)
            for scenario in outline.run.scenarios
            if scenario.id == scenario_id and not scenario.arm.url
        }
        return [found.get(run_id, Tested()) for run_id in run_ids]

    def _promote(self, data: RunData, job: Job) -> None:
        if job.promote == "never":
            return
        if why_not := refusal(data, self.journal.alerts(data.run.machine.key)):
            self.say(f"{data.run.id} is not promoted: {why_not}")
            note_refusal(self.journal, data.run.id, why_not)
        else:
            self.say(f"{data.run.id} is promoted: {self.promote(data)} baseline files changed")


def _began(data: RunData | None, now: float) -> float:
    """The time that decides which waivers hold: the start of the run, as for its verdicts."""
    return data.run.started_at if data else now


def _failure(fire: Fire) -> str:
    """Why a due time has no measurement, or "". Ending the scheduler is not a failure of the run."""
    if fire.outcome in FAILURES and not fire.ended_with_scheduler:
        return published_text(fire.reason) or "no reason is known"
    return ""


def _by_event(lines: Sequence[tuple[Line, int]]) -> list[tuple[str, list[tuple[Line, int]]]]:
    """The lines as two messages: what is worse, and what is better."""
    gain = AlertKind.IMPROVEMENT.value
    return [
        ("alert", [each for each in lines if each[0].kind != gain]),
        (gain, [each for each in lines if each[0].kind == gain]),
    ]


def _line_of_finding(finding: alerts.Finding) -> Line:
    values = asdict(finding)
    del values["compared_with"]
    return Line(run=values.pop("run_id"), kind=values.pop("kind").value, **values)


def _title(line: Line) -> str:
    """The change as its duel confirmed it, or else the sentence of what was found."""
    if line.confirmed_size is None or line.confirmed_low is None or line.confirmed_high is None:
        return line.sentence
    change = (line.confirmed_size, line.confirmed_low, line.confirmed_high)
    return alerts.change_sentence(line.metric, line.subject, change, gained=line.kind == AlertKind.IMPROVEMENT.value)


def _line_of_alert(alert: Alert, decision: Decision | None = None) -> Line:
    """`decision` is what a duel has shown just now; otherwise the alert says what an earlier one had shown."""
    state = decision.state if decision else alert.confirmation
    size, low, high = alert.confirmed_size, alert.confirmed_low, alert.confirmed_high
    if decision and decision.change:
        size, low, high = decision.change.point, decision.change.low, decision.change.high
    return Line(
        kind=alert.kind.value, subject=alert.subject, metric=alert.metric, sentence=alert.sentence, run=alert.run_id,
        size=alert.size, low=alert.low, high=alert.high, suspects=(), confirmed=state.value if state else "",
        confirmation=decision.sentence if decision else "", duel=decision.run_id if decision else alert.confirmed_by,
        confirmed_size=size, confirmed_low=low, confirmed_high=high,
    )  # fmt: skip
