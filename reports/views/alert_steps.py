"""What to do about an alert next."""

from collections.abc import Iterable

from harness.analysis.alert_words import ending_of
from harness.core.records.bisection import BisectionAnswer
from harness.core.records.schedule import Alert, AlertKind, Confirmation


def next_steps(alert: Alert, *, has_suspects: bool) -> Iterable[str]:
    """What to do next, as sentences with commands between backticks."""
    if alert.closed_at is not None:
        yield f"Nothing: it ended as {ending_of(alert)}."
        return
    if alert.kind is AlertKind.FAILURE:
        yield f"See the reason with `kokoro-bench schedule history {alert.subject}`, and the log that it names."
        yield f"When it is fixed, measure again: `kokoro-bench schedule run-now {alert.subject}`."
        return
    if alert.kind is AlertKind.TARGET:
        yield f"See the figure beside its target: `kokoro-bench runs show {alert.run_id}`."
        yield "A target is an absolute limit: if it asks too much of this machine, change it with `--targets`."
        return
    if alert.confirmation is Confirmation.WAITING:
        yield "Wait for the duel: the scheduler makes it next."
        return
    if alert.confirmation is Confirmation.UNDECIDED:
        yield f"Measure again with more time: `kokoro-bench schedule confirm {alert.key} --budget 45m`."
    if not alert.explanation and alert.confirmation is Confirmation.CONFIRMED:
        yield f"If several versions or commits lie between, find which: `kokoro-bench schedule explain {alert.key}`."
    if alert.answer is BisectionAnswer.UNDECIDED:
        yield f"The bisection goes on where it ended: `kokoro-bench schedule explain {alert.key}`."
    if alert.kind is AlertKind.IMPROVEMENT:
        yield (
            "An unexpected gain is often something that no longer works. Listen to the run's recordings, and look at "
            "what it did not measure, before you accept it."
        )
    else:
        yield (
            "Begin with the first suspect: undo it, and measure again."
            if has_suspects
            else "Look for what changed on the machine and under test: the run's page lists both at its end."
        )
    accept = f"`kokoro-bench baseline promote {alert.found_in or alert.run_id} --only '{alert.subject}' --reason WHY`"
    yield f"If the change is wanted, accept it: {accept}."
    if alert.kind is AlertKind.REGRESSION:
        yield "If it has to stay for a while, waive it until a day with `[[tool.kokoro-bench.waiver]]`."
