"""Actions after a scheduled run: send alerts, promote the run, write the site, remove old data.

If a step fails, it reports the error, and the schedule goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from harness.analysis.subjects import subject_of
from harness.core.errors import BenchError
from harness.core.records.run import RunData
from harness.core.records.schedule import Alert, AlertKind, Fire, FireOutcome
from harness.core.redaction import published, published_record, published_text
from harness.metrics.registry import METRICS
from harness.schedule import alerts
from harness.schedule.endings import DEFAULT_POLICY, AlertPolicy, endings
from harness.schedule.job import Job
from harness.schedule.notifiers import Channel, Line, Message, tell
from harness.schedule.promotion import refusal
from harness.schedule.retention import Retention
from harness.store.rows import SeriesPoint
from harness.store.runs import RunStore
from harness.store.schedule_log import ScheduleLog

Result = TypeVar("Result")

FAILURES = (FireOutcome.FAILED, FireOutcome.INTERRUPTED, FireOutcome.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRunActions:
    """The actions after a run. `publish` writes the site; `link_of` returns the address of a run's page."""

    store: RunStore
    journal: ScheduleLog
    machine_key: str
    channels: Sequence[Channel]
    promote: Callable[[RunData], int]
    publish: Callable[[], None]
    link_of: Callable[[str], str]
    retention: Retention
    say: Callable[[str], None]
    policy: AlertPolicy = DEFAULT_POLICY
    accepted: Callable[[Alert, RunData | None], bool] = lambda _alert, _data: False
    """Whether the level that an alert on a regression reported was accepted, as far as a run shows."""

    def of(self, fire: Fire, job: Job, *, now: float) -> None:
        """Run all actions for a due time that has ended."""
        data = self._try(lambda: published(self.store.load(fire.run_id))) if fire.run_id else None
        self._try(lambda: self._tell_news(fire, data, now=now))
        if data is not None:
            self._try(lambda: self._promote(data, job))
        self._try(self.publish)
        self._try(lambda: self.retention.apply(now=now))

    def _try(self, step: Callable[[], Result]) -> Result | None:
        try:
            return step()
        except BenchError as error:
            self.say(str(error))
        except Exception as error:  # noqa: BLE001 - the measurement is stored; nothing that follows may end the schedule
            self.say(f"{type(error).__name__}: {error} — this is a fault of the harness; the schedule goes on")
        return None

    def _tell_news(self, fire: Fire, data: RunData | None, *, now: float) -> None:
        machine = data.run.machine.key if data else self.machine_key
        known = [each for each in self.journal.alerts() if each.machine_key in (machine, fire.runner)]
        found = [alerts.of_job(fire.job, run_id=fire.run_id, failed=_failure(fire))]
        if data is not None and data.run.status.is_finished:
            history = self._of_history(data, known)
            found += [alerts.of_verdicts(data), history]
            for each in history.of_machine:
                self.say(f"{each.sentence}: not from what was under test, so this is the machine's and raises no alert")
        rows = reversed(self.store.list(machine_key=machine, limit=alerts.NEAR))
        runs = [row.id for row in rows if not row.is_replay]
        ended = self._try(
            lambda: endings(known, self.policy, at=_began(data, now), accepted=lambda alert: self.accepted(alert, data))
        )
        news = alerts.news(found, known, runs=runs, ended=ended, policy=self.policy)
        keys = [
            self.journal.open_alert(
                alerts.alert_of(each, machine_key=fire.runner if each.kind is AlertKind.FAILURE else machine, now=now)
            )
            for each in (*news.reported, *news.joined)
        ]
        for ending, closed in news.ended.items():
            closed_keys = [alert.key for alert in closed]
            self.journal.close_alerts(closed_keys, closed_at=now, closed_by=fire.run_id or fire.job, ending=ending)
        reported = [tell(self.channels, message) for message in self._messages(news, fire)]
        trouble = "; ".join(filter(None, reported))
        if trouble:
            self.say(f"an alert could not be delivered: {trouble}")
            closed_keys = [alert.key for closed in news.ended.values() for alert in closed]
            self.journal.note_trouble(keys or closed_keys, trouble)

    def _messages(self, news: alerts.News, fire: Fire) -> list[Message]:
        messages = []
        if news.reported:
            lines = tuple(_line_of_finding(each) for each in news.reported)
            messages.append(self._message("alert", lines, fire))
        for ending, closed in news.ended.items():
            lines = tuple(_line_of_alert(each) for each in closed)
            messages.append(self._message(ending.value, lines, fire))
        return messages

    def _message(self, event: str, lines: tuple[Line, ...], fire: Fire) -> Message:
        first = lines[0].sentence + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")
        word = "" if event == "alert" else f"{event}: "
        link = self.link_of(fire.run_id) if fire.run_id else ""
        suspects = list(dict.fromkeys(suspect for line in lines for suspect in line.suspects))
        text = [f"{word}{line.sentence}" for line in lines]
        text += [f"suspects: {'; '.join(suspects)}"] if suspects else []
        text += [f"job {fire.job}, run {fire.run_id or 'none'}, machine {self.machine_key}"]
        text += [f"report: {link}"] if link else []
        message = Message(
            event=event, subject=f"kokoro-bench: {word}{first}", text="\n".join(text), run=fire.run_id,
            machine=self.machine_key, job=fire.job, link=link, alerts=lines,
        )  # fmt: skip
        return published_record(message)  # an alert that an earlier version kept may have a folder in it

    def _of_history(self, data: RunData, known: Sequence[Alert]) -> alerts.Findings:
        machine = data.run.machine.key

        def trends(
            scenario_id: str, metric: str, *, newest: int | None = None, verdicts: bool = True
        ) -> Sequence[SeriesPoint]:
            return self.store.series(metric, scenario_id, machine, limit=newest, verdicts=verdicts)

        names = self.store.series_names(machine_key=machine)
        lines = sum(each.metric in METRICS and METRICS[each.metric].gated for each in names)
        return alerts.of_history(data, trends, known, lines=lines, policy=self.policy, tested=self._tested)

    def _tested(self, scenario_id: str, metric: str, run_ids: Sequence[str]) -> Sequence[alerts.Tested]:
        """What each run had under test for a scenario. What runs behind a URL is unknown."""
        found = {
            outline.run.id: alerts.Tested(
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
        return [found.get(run_id, alerts.Tested()) for run_id in run_ids]

    def _promote(self, data: RunData, job: Job) -> None:
        if job.promote == "never":
            return
        why_not = refusal(data, self.journal.alerts(data.run.machine.key), policy=job.promote)
        if why_not:
            self.say(f"{data.run.id} is not promoted: {why_not}")
        else:
            self.say(f"{data.run.id} is promoted: {self.promote(data)} baseline files changed")


ENDED_WITH_US = "the scheduler was ended"


def _began(data: RunData | None, now: float) -> float:
    """The time that decides which waivers hold: the start of the run, as for its verdicts."""
    return data.run.started_at if data else now


def _failure(fire: Fire) -> str:
    """Why a due time has no measurement, or "". Ending the scheduler is not a failure of the run."""
    if fire.outcome in FAILURES and fire.reason != ENDED_WITH_US:
        return published_text(fire.reason) or "no reason is known"
    return ""


def _line_of_finding(finding: alerts.Finding) -> Line:
    values = asdict(finding)
    return Line(run=values.pop("run_id"), kind=values.pop("kind").value, **values)


def _line_of_alert(alert: Alert) -> Line:
    return Line(
        kind=alert.kind.value, subject=alert.subject, metric=alert.metric, sentence=alert.sentence, run=alert.run_id,
        size=alert.size, low=alert.low, high=alert.high, suspects=(),
    )  # fmt: skip
