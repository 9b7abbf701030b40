"""The JSON of `kokoro-bench baseline`: what its tables show, for programs. Values are in the unit of their metric."""

from statistics import median
from typing import TYPE_CHECKING, Any, Final

from harness.cli.options import write_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.promotion import Promotion
    from harness.core.records.reference import Reference
    from harness.core.records.run import RunData
    from harness.store.baselines import BaselineChanges, Baselines, MachineBaselines

FORMAT: Final = 1
"""Version of the JSON. History: 1, the first."""


def print_machines(machines: "Sequence[MachineBaselines]") -> None:
    """Print each machine that has baselines, with the ids of its promoted runs, as JSON."""
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
    """Print all accepted arms as JSON."""
    _print(arms=reference.arms)


def print_not_clean(run_id: str, why: str) -> None:
    """Why a promotion that was to be clean changed nothing."""
    _print(run=run_id, not_promoted=why)


def print_changes(changes: "BaselineChanges", data: "RunData", promotion: "Promotion") -> None:
    """What a promotion of a run changes, and what the run leaves undecided beyond its tolerance (log-ratios)."""
    from harness.analysis.promotion import perhaps_worse

    _print(
        run=data.run.id,
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
        left_as_it_is=list(promotion.unknown),
        undecided=[
            {"scenario_id": each.scenario_id, "metric": each.metric, "change": each.change, "tolerance": each.tolerance}
            for each in perhaps_worse(data.verdicts, promotion.scenario_ids)
        ],
    )


def _print(**content: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    import msgspec

    encoded = msgspec.json.encode({"format": FORMAT, **content})
    write_output(msgspec.json.format(encoded, indent=2) + b"\n", "-")
