"""Whether streamed audio stalled: what makes a listener wait within a text is never recommended."""

from collections.abc import Mapping

from harness.metrics.values import Values


def stalled(values: Mapping[str, Values]) -> str:
    """Why a scenario with these values is not recommended: its audio stalled; "" if it never did."""
    found = values["stall_count"].flat
    count = sum(stalls > 0 for stalls in found)
    return f"its audio stalled in {count} of {len(found)} answers" if count else ""
