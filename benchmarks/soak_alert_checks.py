"""What a soak has to show of alerts: each is sent once, none is lost, and each planted slowdown is one message."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from benchmarks.soak_evidence import Check, Evidence
from benchmarks.soak_site import SERVER_JOB
from harness.core.records.schedule import Alert, AlertEnding, AlertKind, Confirmation

OPENING = ("alert", "improvement")
LATE_S = 120.0
"""How long after its end a planted slowdown may still be reported: by the run that measured it, and its duel."""


def alert_checks(evidence: Evidence, *, settled: bool) -> Iterator[Check]:
    """The checks. `settled`: after the last disturbance everything was sent, and every alert of the plants ended."""
    yield _in_order(evidence, settled=settled)
    yield _in_file(evidence)
    yield _in_webhook(evidence)
    yield _planted(evidence)


def _in_order(evidence: Evidence, *, settled: bool) -> Check:
    left = [f"alert {each.key}: {each.sentence}" for each in evidence.alerts if each.closed_at is None]
    kinds = Counter(each.kind.value for each in evidence.alerts)
    figure = ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items())) or "no alerts"
    return Check("alerts end when their cause does", settled, f"{figure}; {len(left)} open at the end", left)


def opens(alert: Alert) -> int:
    """How many messages have to report an alert."""
    if alert.kind in (AlertKind.FAILURE, AlertKind.TARGET):
        return 1
    # A change of another metric in the same step joins an alert, and has no duel of its own.
    return int(alert.confirmation not in (None, Confirmation.WAITING, Confirmation.NOT_CONFIRMED))


def ends(alert: Alert) -> int:
    """How many messages have to report its end."""
    reported = alert.kind is not AlertKind.IMPROVEMENT and alert.ending is not AlertEnding.NOT_CONFIRMED
    reported = reported and alert.confirmation is not Confirmation.WAITING
    return int(alert.closed_at is not None and reported)


def _in_file(evidence: Evidence) -> Check:
    got = Counter(
        (line["alert"], message["event"] in OPENING) for message in evidence.in_file for line in message["alerts"]
    )
    wrong = [f"{evidence.broken_lines} lines are no JSON"] if evidence.broken_lines else []
    for alert in evidence.alerts:
        for opening, expected in ((True, opens(alert)), (False, ends(alert))):
            count = got.pop((alert.key, opening), 0)
            if count != expected:
                what = "report" if opening else "end"
                wrong.append(f"alert {alert.key} ({alert.kind.value}): {count} messages on its {what}, not {expected}")
    wrong += [f"a message on alert {key}, which is not stored" for key, _ in got]
    expected = sum(opens(each) + ends(each) for each in evidence.alerts)
    figure = f"{len(evidence.in_file)} messages for {expected} reports and ends of {len(evidence.alerts)} alerts"
    return Check("a file gets every alert exactly once", not wrong, figure, wrong)


def _in_webhook(evidence: Evidence) -> Check:
    ids = Counter(message["id"] for message in evidence.in_webhook)
    filed = {message["id"] for message in evidence.in_file}
    silent = [
        f"message {each['id']} arrived again and does not say so"
        for number, each in enumerate(evidence.in_webhook)
        if not each["repeated"] and each["id"] in {before["id"] for before in evidence.in_webhook[:number]}
    ]
    lost = [f"message {each} is in the file and did not reach the webhook" for each in sorted(filed - ids.keys())]
    lost += [f"message {each} reached the webhook and is not in the file" for each in sorted(ids.keys() - filed)]
    again = sum(count - 1 for count in ids.values())
    killed = sum("while it sent" in each.what for each in evidence.events)
    figure = f"{len(ids)} messages; {again} came again, marked, after {killed} kills of their sender"
    return Check("a webhook gets every alert, marked if again", not silent + lost, figure, [*silent, *lost])


def _planted(evidence: Evidence) -> Check:
    marks = [each for each in evidence.events if each.kind == "slowdown"]
    spans = [(one.at, other.at) for one, other in pairwise(marks) if one.what == "planted"]
    own = [
        each
        for each in evidence.alerts
        if each.kind is AlertKind.REGRESSION and opens(each) and evidence.job_of(each.found_in) == SERVER_JOB
    ]
    wrong, unmeasured = [], 0
    for since, until in spans:
        if not _was_measured(evidence, since, until):
            unmeasured += 1
            continue
        inside = [each for each in own if since <= each.opened_at <= until + LATE_S]
        keys = {each.key for each in inside}
        reports = {
            message["id"]
            for message in evidence.in_file
            if message["event"] == "alert" and keys & {line["alert"] for line in message["alerts"]}
        }
        if len(reports) != 1:
            wrong.append(f"the slowdown of {until - since:.0f} s is in {len(reports)} messages")
        early = [each.key for each in inside if each.closed_at is not None and each.closed_at < until]
        wrong += [f"alert {key} ended before the slowdown did" for key in early]
        own = [each for each in own if each not in inside]
    wrong += [f"alert {each.key} without a slowdown: {each.sentence}" for each in own]
    figure = f"{len(spans)} planted, {unmeasured} of them measured by no run, {len(wrong)} faults"
    holds = False if wrong else True if len(spans) > unmeasured else None
    return Check("each slowdown is one message", holds, figure, wrong)


def _was_measured(evidence: Evidence, since: float, until: float) -> bool:
    """Whether a run of the server lay in a slowdown as a whole."""
    return any(
        fire.job == SERVER_JOB and fire.outcome and fire.outcome.measured
        and since <= (fire.started_at or 0.0) and (fire.ended_at or 0.0) <= until
        for fire in evidence.fires
    )  # fmt: skip
