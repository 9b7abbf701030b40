"""Alerts of every kind and with every ending, on a made run."""

from collections.abc import Sequence
from dataclasses import replace

from harness.core.records.run import RunData
from harness.core.records.schedule import Alert, AlertEnding, AlertKind, Confirmation

DAY = 86_400.0


def alert_on(data: RunData, *, key: int = 1, metric: str = "latency", **changes: object) -> Alert:
    """An open alert on a regression of the first scenario of a run, which a duel has confirmed."""
    found = Alert(
        key=key, machine_key=data.run.machine.key, kind=AlertKind.REGRESSION, subject=data.run.scenarios[0].id,
        metric=metric, run_id=data.run.id, opened_at=data.run.started_at + DAY, size=0.0953, low=0.08, high=0.11,
        sentence=f"{metric} of {data.run.scenarios[0].id} is worse by +10.0 % (interval +8.3 % to +11.6 %)",
        closed_at=None, closed_by="", trouble="", found_in=data.run.id, confirmation=Confirmation.CONFIRMED,
        confirmation_reason="confirmed by a duel with what was accepted: +9.4 % (interval +8.3 % to +10.5 %)",
    )  # fmt: skip
    return replace(found, **changes)  # type: ignore[arg-type]


def every_kind(data: RunData) -> Sequence[Alert]:
    """Newest first, as the store gives them."""
    ended = {"closed_at": data.run.started_at + 2 * DAY, "closed_by": data.run.id}
    return [
        alert_on(data, key=9, kind=AlertKind.FAILURE, subject="nightly", metric="", size=None, confirmation=None,
                 sentence="job nightly failed: killed by SIGKILL", confirmation_reason="", run_id="", found_in=""),
        alert_on(data, key=8, kind=AlertKind.TARGET, metric="rtf", size=None, confirmation=None,
                 sentence="rtf misses its target: 1.2, 1.0", confirmation_reason=""),
        alert_on(data, key=7, confirmation=Confirmation.WAITING, confirmation_reason=""),
        alert_on(data, key=6, confirmation=Confirmation.IMPOSSIBLE,
                 confirmation_reason="no duel could confirm it: no reference was accepted for it"),
        alert_on(data, key=5, kind=AlertKind.IMPROVEMENT, size=-0.1, low=-0.12, high=-0.08),
        alert_on(data, key=4, ending=AlertEnding.WAIVED, **ended),
        alert_on(data, key=3, ending=AlertEnding.ACCEPTED, **ended),
        alert_on(data, key=2, ending=AlertEnding.NOT_CONFIRMED, confirmation=Confirmation.NOT_CONFIRMED,
                 confirmation_reason="not confirmed: a duel with what was accepted shows no change: +0.2 %", **ended),
        alert_on(data, key=1, ending=AlertEnding.RECOVERED, **ended),
    ]  # fmt: skip
