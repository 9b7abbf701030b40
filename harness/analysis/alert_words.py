"""What an alert says in words, and the verdict of the duel that confirms it."""

from dataclasses import replace

from harness.core.records.run import Concluded
from harness.core.records.schedule import Alert, AlertEnding, AlertKind, Confirmation
from harness.core.records.verdict import Verdict, VerdictKind


def alert_page(key: int) -> str:
    """The permanent address of an alert's page, relative to the index of the report."""
    return f"alerts/{key}.html"


def with_confirmation(alert: Alert) -> str:
    """The sentence of an alert with what its duel has shown."""
    if alert.confirmation is Confirmation.WAITING:
        return f"{alert.sentence}; not reported yet, a duel is to confirm it"
    return "; ".join(filter(None, (alert.sentence, alert.confirmation_reason)))


def ending_of(alert: Alert) -> str:
    """How an alert ended, in a word. A gain that is gone has not recovered."""
    ending = alert.ending or AlertEnding.RECOVERED
    gone = ending is AlertEnding.RECOVERED and alert.kind is AlertKind.IMPROVEMENT
    return "gone" if gone else ending.value


def duel_verdict(alert: Alert, duel: Concluded) -> Verdict | None:
    """The verdict of a confirming duel on an alert's metric. A failed scenario has one verdict for all metrics."""
    ours = [each.id for each in duel.run.scenarios if replace(each, arm=replace(each.arm, side="")).id == alert.subject]
    found = [each for each in duel.verdicts if each.scenario_id in ours]
    own = [each for each in found if each.metric == alert.metric]
    failed = [each for each in found if each.kind is VerdictKind.FAILED]
    return next(iter([*own, *failed]), None)
