"""Verifies that a model's nodes run on the provider that the arm names, with ONNX Runtime's profile."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.core.records.profile import Profile
from harness.core.records.scenario import Arm
from harness.engines.declarations import declaration_of
from harness.engines.providers import find_provider
from harness.measure.conductor.ort_profile import profile_arm
from harness.measure.conductor.worker_factory import WorkerFactory

LEAST_SHARE = 0.5
"""Share of the nodes or of the time. If the provider has less of both, the arm has fallen back to the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementCheck:
    """Refused arms (id → reason), and a note on the placement of every other checked arm."""

    refusals: Mapping[str, str]
    notes: tuple[str, ...]


def verify_placement(
    arms: Iterable[Arm], *, worker_factory: WorkerFactory, voices: Mapping[Arm, str], seed: int
) -> PlacementCheck:
    """Profile the first inference of every arm on a provider other than the CPU.

    An arm that cannot be profiled is not refused. Its note says that its placement is unproven, and its launch will
    report the error.
    """
    refusals, notes = {}, []
    for arm in arms:
        if arm.provider == "cpu" or not declaration_of(arm.engine).is_plain_session:
            continue
        profile = profile_arm(arm, worker_factory=worker_factory, voice=voices[arm], seed=seed)
        if fallen_back(profile, arm.provider):
            refusals[arm.id] = f"fell back to the CPU: {placement(profile, arm.provider)}"
        else:
            notes.append(f"placement: {arm.id}: {placement(profile, arm.provider)}")
    return PlacementCheck(refusals=refusals, notes=tuple(notes))


def fallen_back(profile: Profile, provider: str) -> bool:
    """Whether a provider had less than half of the nodes and less than half of the time."""
    known = find_provider(provider)
    if profile.reason or known is None:
        return False
    return profile.node_share(known.ort) < LEAST_SHARE and profile.time_share(known.ort) < LEAST_SHARE


def placement(profile: Profile, provider: str) -> str:
    """A phrase with the number of nodes and the share of time of each provider, or why they are unknown."""
    known = find_provider(provider)
    if profile.reason or known is None:
        return f"unproven: {(profile.reason or 'no such provider')[:160]}"
    whole = sum(profile.nodes.values())
    others = ", ".join(
        f"{name.removesuffix('ExecutionProvider')} ran {count} ({profile.time_share(name):.1%})"
        for name, count in sorted(profile.nodes.items(), key=lambda item: -item[1])
        if name != known.ort
    )
    own = (
        f"{provider} ran {profile.nodes.get(known.ort, 0)} of {whole} nodes in {profile.time_share(known.ort):.1%} of "
        "the time"
    )
    return f"{own}; {others}" if others else own
