"""Accepts a run as the reference, as `kokoro-bench baseline promote` does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.analysis.promotion import baseline_entries
from harness.analysis.subjects import subject_of
from harness.core.records.reference import LoadedSubject, Reference, ReferenceArm
from harness.core.records.run import RunData
from harness.store.baselines import KEPT, BaselineChange, BaselineEntry
from harness.store.baselines import accept as accept_all
from harness.store.reference_file import load_reference, write

DATE = "2026-11-20"


def promote(root: Path, entries: Sequence[BaselineEntry], keep: int = KEPT) -> tuple[BaselineChange, ...]:
    """Add `entries` to their baselines, without a reference."""
    return accept_all(root, entries, (), keep).figures


def accept(baselines: Path, data: RunData, *, figures: bool = True) -> Reference:
    """Accept a run's arms, and unless `figures` is false its values on this machine too."""
    arms = []
    for arm in dict.fromkeys(scenario.arm for scenario in data.run.scenarios):
        subject = subject_of(arm, data)
        assert subject is not None
        ours = tuple(sorted(scenario.id for scenario in data.run.scenarios if scenario.arm == arm))
        arms.append(
            ReferenceArm(
                arm_id=arm.id,
                subject=subject,
                model_name=arm.model.name if arm.model else "",
                run=data.run.id,
                date=DATE,
                scenarios=ours,
            )
        )
    if figures:
        promote(baselines, baseline_entries(data))
    baselines.mkdir(parents=True, exist_ok=True)
    write(baselines, Reference(arms=tuple(arms)))
    return load_reference(baselines)


def changed(baselines: Path, **subject: object) -> Reference:
    """Pretend that something else was accepted: other packages, another model, another source."""
    arms = load_reference(baselines).arms

    def other(was: LoadedSubject) -> LoadedSubject:
        return replace(was, **subject)  # type: ignore[arg-type]

    write(baselines, Reference(arms=tuple(replace(arm, subject=other(arm.subject)) for arm in arms)))
    return load_reference(baselines)
