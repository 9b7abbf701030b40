"""The run of a due time and its outcome, from its process's exit, its stored record and the last line of its log."""

import signal
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from harness.core.errors import ExitCode
from harness.core.records.run import RunKind, RunStatus
from harness.core.records.schedule import Fire, FireCause, FireOutcome
from harness.core.records.verdict import VerdictKind
from harness.measure.conductor.event_file import read_events
from harness.schedule.confirmation import SEARCHED_RUNS, confirmation_rows, waiting_alerts
from harness.schedule.launcher import Exit, events_of, last_line
from harness.store.rows import RunRow
from harness.store.runs import RunStore


class Ending(StrEnum):
    """Why the process ended."""

    ITSELF = "itself"
    LIMIT = "its time limit"
    STOPPED = "the end of the scheduler"
    LOST = "an unobserved kill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An outcome, with a reason if it needs one."""

    outcome: FireOutcome
    reason: str = ""
    cause: FireCause | None = None


def run_of(fire: Fire, store: RunStore) -> str:
    """The id of the run that the process of a due time has stored; "" if it stored none.

    The store is asked where the file of progress does not say it: on a full disk a run waits to be stored, and its
    progress is left out.
    """
    if announced := read_events(events_of(Path(fire.log))).run_id:
        return announced
    if fire.explains is not None:
        return ""
    for row in store.list(limit=SEARCHED_RUNS):
        if (row.kind is RunKind.REPLAY) == bool(fire.confirms) and row.started_at >= (
            fire.started_at or fire.queued_at
        ):
            head = store.head(row.id)
            if (head.pid, head.boot) == (fire.pid, fire.boot):
                return row.id
    return ""


def outcome_of(ended: Exit, ending: Ending, *, row: RunRow | None, log: Path) -> Found:
    """The outcome of a run. `row` is its stored record, or None if it stored nothing."""
    if ending is Ending.STOPPED:
        return Found(outcome=FireOutcome.INTERRUPTED, reason="the scheduler was ended", cause=FireCause.SCHEDULER_ENDED)
    if ending is Ending.LIMIT:
        # If the limit ended the process while it wrote the report, the complete run counts.
        complete = row is not None and row.status is RunStatus.COMPLETE
        return _of_row(row, log=log) if complete else _at_limit(row)
    if ended.code is not None:
        return _of_code(ended.code, row=row, log=log)
    return _of_row(row, log=log)


def explanation_outcome(ended: Exit, ending: Ending, log: Path) -> Found:
    """The outcome of a bisection. Its answer is with the alert, also if it measured nothing."""
    if ending is Ending.ITSELF and ended.code == ExitCode.OK:
        return Found(outcome=FireOutcome.OK)
    reason = "its time limit was reached" if ending is Ending.LIMIT else last_line(log) or "it was interrupted"
    return Found(outcome=FireOutcome.FAILED, reason=reason)


def confirmation_outcome(found: Found, fire: Fire, store: RunStore) -> Found:
    """The outcome of a confirmation, from that of its process: where no duel could be made, nothing has failed."""
    if found.outcome is not FireOutcome.FAILED:
        return found
    alerts = waiting_alerts(store.journal(), fire.confirms)
    reasons = [alert.confirmation_reason for alert in alerts if alert.confirmation_reason]
    duels = store.outlines([row.id for row in confirmation_rows(store, fire.confirms)])
    failed = any(
        duel.run.status is RunStatus.FAILED or any(each.kind is VerdictKind.FAILED for each in duel.verdicts)
        for duel in duels
    )
    if failed or not reasons:
        return found
    some = f" of {len(reasons)} of {len(alerts)} findings" if len(reasons) < len(alerts) else ""
    sentence = f"no duel{some} could be made: {'; '.join(dict.fromkeys(reasons))}"
    return Found(outcome=FireOutcome.IMPOSSIBLE, reason=sentence)


def _at_limit(row: RunRow | None) -> Found:
    if row is None or not row.blocks:
        return Found(outcome=FireOutcome.FAILED, reason="its time limit was reached before a block was measured")
    if row.status is RunStatus.INTERRUPTED:
        reason = "its time limit was reached, and it was killed before it had judged what it measured"
        return Found(outcome=FireOutcome.PARTIAL, reason=reason)
    # A regression that a partial run found counts: it does not depend on the missing part.
    worse = bool(row.regressed or row.missed)
    return Found(outcome=FireOutcome.WORSE if worse else FireOutcome.PARTIAL, reason="its time limit was reached")


def _of_code(code: int, *, row: RunRow | None, log: Path) -> Found:
    plain = {
        int(ExitCode.OK): FireOutcome.OK,
        int(ExitCode.WORSE): FireOutcome.WORSE,
        int(ExitCode.UNDECIDED): FireOutcome.UNDECIDED,
    }
    if code in plain and row is not None:
        return Found(outcome=plain[code], reason=row.reason)
    if code == ExitCode.INTERRUPTED:
        return Found(outcome=FireOutcome.INTERRUPTED, reason=row.reason if row else "interrupted before it began")
    if code < 0:
        return Found(outcome=FireOutcome.FAILED, reason=f"killed by {_signal(-code)}")
    if code == ExitCode.USAGE and row is not None and row.status.is_finished:
        found = _of_row(row, log=log)
        return replace(found, reason=found.reason or "an output could not be written")
    message = last_line(log)
    if code == ExitCode.MEASUREMENT and row is not None:
        return Found(outcome=FireOutcome.FAILED, reason=row.reason or "something could not be measured validly")
    return Found(outcome=FireOutcome.FAILED, reason=f"exit code {code}: {message}" if message else f"exit code {code}")


def _of_row(row: RunRow | None, *, log: Path) -> Found:
    """The outcome by the stored record, if the process's exit code is unknown or does not decide."""
    if row is None:
        return Found(outcome=FireOutcome.FAILED, reason=last_line(log) or "it stored nothing")
    if row.status in (RunStatus.COMPLETE, RunStatus.PARTIAL):
        worse = bool(row.regressed or row.missed)
        return Found(outcome=FireOutcome.WORSE if worse else FireOutcome.OK, reason=row.reason)
    if row.status is RunStatus.FAILED:
        return Found(outcome=FireOutcome.FAILED, reason=row.reason or "something could not be measured validly")
    return Found(outcome=FireOutcome.INTERRUPTED, reason=row.reason or "its process ended before the run was complete")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
