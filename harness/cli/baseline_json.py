"""The JSON of `kokoro-bench baseline`: what its tables show, for programs. Values are in the unit of their metric."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from harness.cli.options import write_output

if TYPE_CHECKING:
    from harness.core.records.reference import Reference
    from harness.store.baselines import BaselineChanges, Baselines, MachineBaselines

FORMAT: Final = 1
"""Version of the JSON. History: 1, the first."""


def print_machines(machines: "Sequence[MachineBaselines]") -> None:
    """The machines that have baselines."""
    _print(
        machines=[
            {"machine": each.machine_key, "scenarios": each.scenarios, "runs": [run.id for run in each.runs]}
            for each in machines
        ]
    )


def print_values(baselines: "Baselines") -> None:
    """The accepted values of a machine: the median of the accepted runs, and each of them."""
    from harness.metrics.registry import unit_of

    values = []
    for scenario_id, metric in baselines.pairs():
        points = baselines.for_pair(scenario_id, metric)
        values.append(
            {
                "scenario_id": scenario_id,
                "metric": metric,
                "unit": unit_of(metric),
                "median": median(point.median for point in points),
                "runs": [{"run": point.run.id, "median": point.median} for point in points],
            }
        )
    _print(machine=baselines.machine_key, values=values)


def print_reference(reference: "Reference") -> None:
    """The accepted arms."""
    _print(arms=reference.arms)


def print_changes(changes: "BaselineChanges", *, run_id: str, unknown: Sequence[str]) -> None:
    """What a promotion changes. `unknown` are arms whose workers did not report what they loaded."""
    _print(
        run=run_id,
        values=[
            {
                "machine": each.machine_key,
                "scenario_id": each.scenario_id,
                "metric": each.metric,
                "before": each.before,
                "after": each.after,
                "added": each.added,
                "dropped": each.dropped,
            }
            for each in changes.figures
        ],
        reference=[
            {"arm": each.arm.arm_id, "added": each.added, "differences": [str(one) for one in each.differences]}
            for each in changes.reference
        ],
        left_as_it_is=list(unknown),
    )


def _print(**content: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    import msgspec

    encoded = msgspec.json.encode({"format": FORMAT, **content})
    write_output(msgspec.json.format(encoded, indent=2) + b"\n", "-")
