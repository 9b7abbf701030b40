"""Why a figure may have moved: what differs between the accepted subject and this one, strongest first."""

from harness.metrics.registry import METRICS
from harness.records.run import RunData
from harness.records.verdict import Verdict
from harness.store.baselines import PromotedRun

DISTURBED_SHARE = 0.2
"""From this share of disturbed repetitions on, the machine is a suspect itself."""


def differences(accepted: PromotedRun, data: RunData, scenario_id: str, *, metric: str) -> tuple[str, ...]:
    """Sentences without a full stop: model, packages, source, and of what takes time the machine."""
    # Other work on the machine takes time from a process, and no memory that would count as its own.
    machine = [] if METRICS[metric].unit.startswith("B") else _machine(data, scenario_id)
    return (*_model(accepted, data, scenario_id), *_packages(accepted, data), *_source(accepted, data), *machine)


def _model(accepted: PromotedRun, data: RunData, scenario_id: str) -> list[str]:
    model = next(scenario.arm.model for scenario in data.run.scenarios if scenario.id == scenario_id)
    if model is None or not accepted.model or model.sha256 == accepted.model:
        return []
    return [f"the model file differs ({accepted.model[:8]} → {model.sha256[:8]})"]


def _packages(accepted: PromotedRun, data: RunData) -> list[str]:
    before, now = dict(accepted.packages), dict(data.run.subject.packages)
    return [
        f"{name} {before.get(name, 'absent')} → {now.get(name, 'absent')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _source(accepted: PromotedRun, data: RunData) -> list[str]:
    subject = data.run.subject
    found = []
    if accepted.revision and subject.revision and accepted.revision != subject.revision:
        found.append(f"source {accepted.revision[:8]}..{subject.revision[:8]}")
    if subject.dirty:
        found.append("uncommitted changes in the work tree")
    return found


def _machine(data: RunData, scenario_id: str) -> list[str]:
    ours = [repetition for repetition in data.repetitions if repetition.scenario_id == scenario_id]
    disturbed = sum(bool(repetition.disturbance.marks) for repetition in ours)
    if not ours or disturbed / len(ours) < DISTURBED_SHARE:
        return []
    return [f"{disturbed} of {len(ours)} repetitions were disturbed by other work on the machine"]


def explained(verdict: Verdict) -> str:
    """A verdict's reason, advice and suspects, as sentences on one line."""
    suspects = f"Suspects: {'; '.join(verdict.suspects)}" if verdict.suspects else ""
    parts = [part.strip().removesuffix(".") for part in (verdict.reason, verdict.advice, suspects) if part.strip()]
    return f"{'. '.join(parts)}." if parts else verdict.kind.value
