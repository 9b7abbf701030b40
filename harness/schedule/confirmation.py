"""Confirming what a run has found before it is reported: what a duel with what was accepted shows of an alert.

A run that finds a change is followed by a due time of its own, `JOB/confirm`, which measures the duel. An alert waits
for it and is then sent with both results, or is closed without being sent if the duel does not show the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.analysis.alert_words import duel_verdict
from harness.analysis.messages import with_span
from harness.core.errors import UsageError
from harness.core.records.run import CONFIRMATION, REPLAY_OF, Concluded, RunStatus
from harness.core.records.schedule import Alert, AlertKind, Confirmation, Fire
from harness.core.records.suspect import Suspect
from harness.core.records.verdict import Estimate, Verdict, VerdictKind
from harness.plan.config import Config
from harness.runner.selection import BUDGETS_S
from harness.schedule.job import EXPLAIN_S, SLACK_S, Job, confirmation_limit_of, limit_of
from harness.schedule.launcher import arguments_of, confirmation_arguments, explanation_arguments
from harness.store.rows import RunRow
from harness.store.runs import RunStore
from harness.store.schedule_log import ScheduleLog

SUFFIX: Final = "/confirm"
"""Ends the name under which the due times of a job's confirmations are listed. No declared job has a slash."""
EXPLAIN_SUFFIX: Final = "/explain"
"""The same for bisections."""
MOST_TRIES: Final = 3
"""A confirmation that was interrupted this often is given up, so that one which ends the scheduler does not do so
forever."""
EXPLAINED_WITHIN_S: Final = 7 * 86_400.0
"""A bisection that was queued longer ago (s) and is interrupted is given up."""
SEARCHED_RUNS: Final = 200
"""The newest runs of a machine among which those of a confirmation are looked for."""

_ANSWERS: Final = {
    AlertKind.REGRESSION: {
        VerdictKind.REGRESSED: Confirmation.CONFIRMED,
        VerdictKind.UNCHANGED: Confirmation.NOT_CONFIRMED,
        VerdictKind.IMPROVED: Confirmation.NOT_CONFIRMED,
    },
    AlertKind.IMPROVEMENT: {
        VerdictKind.IMPROVED: Confirmation.CONFIRMED,
        VerdictKind.UNCHANGED: Confirmation.NOT_CONFIRMED,
        VerdictKind.REGRESSED: Confirmation.NOT_CONFIRMED,
    },
}
"""Kind of an alert → verdict of the duel → answer. INCONCLUSIVE is undecided; all others are no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a duel shows of an alert. `run_id` is the duel's run, or ""; `sentence` has no full stop."""

    state: Confirmation
    sentence: str
    run_id: str = ""
    suspects: tuple[Suspect, ...] = ()
    change: Estimate | None = None
    """The change that it confirms; None for every other state."""


def waiting_alerts(journal: ScheduleLog, run_id: str) -> tuple[Alert, ...]:
    """The open alerts that were found in a run and wait for its confirmation, oldest first."""
    return tuple(
        alert
        for alert in reversed(journal.alerts())
        if alert.found_in == run_id and alert.confirmation is Confirmation.WAITING and alert.closed_at is None
    )


def enqueue_confirmation(journal: ScheduleLog, fire: Fire, *, now: float) -> bool:
    """Queue the confirmation of a run; once, however often it is asked for. False if it is known already."""
    return journal.enqueue(
        runner=fire.runner, job=fire.job + SUFFIX, due_at=fire.due_at, asked=fire.asked, missed=0, now=now,
        machine_key=fire.machine_key, confirms=fire.run_id,
    )  # fmt: skip


def enqueue_explanation(journal: ScheduleLog, fire: Fire, alert: Alert, *, now: float) -> bool:
    """Queue the bisection of an alert of the run that a due time confirms; one for each run."""
    return journal.enqueue(
        runner=fire.runner, job=fire.declared_job + EXPLAIN_SUFFIX, due_at=fire.due_at, asked=fire.asked, missed=0,
        now=now, machine_key=fire.machine_key, explains=alert.key,
    )  # fmt: skip


def command_of(fire: Fire, job: Job, config: Config, journal: ScheduleLog, *, wait_s: float) -> tuple[str, ...]:
    """The arguments of `kokoro-bench` for a due time: a run of its job, or the confirmation of one."""
    if fire.explains is not None:
        return explanation_arguments(fire.explains, config, wait_s=wait_s)
    if not fire.confirms:
        return arguments_of(job, config, wait_s=wait_s)
    keys = [alert.key for alert in waiting_alerts(journal, fire.confirms)]
    if not keys:
        raise UsageError("nothing is left to confirm", where=fire.confirms)
    return confirmation_arguments(keys, job, config, wait_s=wait_s)


def time_limit_of(fire: Fire, job: Job) -> float:
    """The time limit (s) of what a due time starts."""
    if fire.explains is not None:
        return 1.5 * EXPLAIN_S + SLACK_S
    return confirmation_limit_of(job) if fire.confirms else limit_of(job, BUDGETS_S)


def next_of(queued: Sequence[Fire]) -> Fire:
    """The due time that begins next: a confirmation at once, while the machine is as it was; a bisection last."""
    return min(queued, key=lambda fire: (not fire.confirms, fire.explains is not None))


def confirmation_rows(store: RunStore, run_id: str) -> tuple[RunRow, ...]:
    """The stored duels that were made to confirm a run, newest first."""
    made = f"{REPLAY_OF}{run_id}: {CONFIRMATION}"
    row = store.row(run_id)
    rows = store.list(machine_key=row.machine_key if row else None, limit=SEARCHED_RUNS)
    return tuple(each for each in rows if each.selection.startswith(made))


def is_tried_again(store: RunStore, fire: Fire, row: RunRow | None, *, now: float) -> bool:
    """Whether a confirmation or bisection that was interrupted is measured again. `row` is the run that it made."""
    if fire.explains is not None:
        return now - fire.queued_at < EXPLAINED_WITHIN_S
    if not fire.confirms or (row and row.status.is_finished):
        return False
    rows = confirmation_rows(store, fire.confirms)
    return sum(each.status is RunStatus.INTERRUPTED for each in rows) < MOST_TRIES


def decide(alert: Alert, duels: Sequence[Concluded], *, otherwise: str) -> Decision:
    """What the duels that confirm a run show of one of its alerts. `otherwise` is why there is none of its scenario."""
    against = f"what ran before (run {alert.compared_with})" if alert.compared_with else "what was accepted"
    for duel in duels:
        verdict = duel_verdict(alert, duel)
        if verdict is None:
            continue
        run_id = duel.run.id
        span = with_span(verdict.change) if verdict.change else verdict.reason
        if verdict.kind is VerdictKind.INCONCLUSIVE:
            sentence = f"a duel with {against} could not decide it: {span}"
            return Decision(state=Confirmation.UNDECIDED, sentence=sentence, run_id=run_id)
        answer = _ANSWERS[alert.kind].get(verdict.kind)
        if answer is None:
            sentence = f"no duel could confirm it: {verdict.reason or verdict.kind.value}"
            return Decision(state=Confirmation.IMPOSSIBLE, sentence=sentence, run_id=run_id)
        if answer is Confirmation.CONFIRMED:
            sentence, change = f"confirmed by a duel with {against}: {span}", verdict.change
        else:
            sentence, change = f"not confirmed: a duel with {against} shows {_shown(verdict)}: {span}", None
        return Decision(state=answer, sentence=sentence, run_id=run_id, suspects=verdict.suspected, change=change)
    reason = alert.confirmation_reason or otherwise
    return Decision(state=Confirmation.IMPOSSIBLE, sentence=f"no duel could confirm it: {reason}")


def _shown(verdict: Verdict) -> str:
    return "no change" if verdict.kind is VerdictKind.UNCHANGED else f"that it {verdict.kind.value}"
