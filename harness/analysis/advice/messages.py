"""A recommendation in one sentence, for the command and for the report."""

from collections.abc import Callable
from operator import attrgetter

from harness.analysis.advice.recommend import Recommendation
from harness.analysis.messages import percent
from harness.core.records.scenario import Arm

_ID: Callable[[Arm], str] = attrgetter("id")


def sentence(found: Recommendation, name_of: Callable[[Arm], str] = _ID) -> str:
    """What to take, by how much, and what it is level with; `name_of` gives the arms their names."""
    best = name_of(found.best.arm)
    if not found.leads:
        return f"{best}: nothing else was measured to choose from."
    if found.too_few_pairs:
        others = ", ".join(name_of(lead.arm) for lead in found.too_few_pairs)
        return (
            f"{best}  has the best value, but it has too few pairs with {others} to decide — "
            f"kokoro-bench duel compares two arms pair by pair."
        )
    if found.level_with:
        others = ", ".join(name_of(lead.arm) for lead in found.level_with)
        return f"{best} is not shown to be better than {others}: they are level, choose any of them."
    behind = found.leads[0].behind
    second = name_of(found.leads[0].arm)
    if behind is None:
        return f"{best}; the second best is {second}."
    point, low, high = (percent(each).removeprefix("+") for each in (behind.point, behind.low, behind.high))
    return f"{best}; the second best, {second}, is {point} behind it (interval {low} to {high})."
