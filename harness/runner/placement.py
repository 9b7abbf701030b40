"""Where a model's nodes really run: proven by ONNX Runtime's own profile before an arm may carry a provider's name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.core.records.profile import Profile
from harness.core.records.scenario import Arm
from harness.engines.providers import find_provider
from harness.measure.conductor.ort_profile import profile_arm
from harness.measure.conductor.worker_factory import WorkerFactory

LEAST_SHARE = 0.5
"""Of the nodes or of the time; an arm of which the provider has less of both is the CPU's under another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementCheck:
    """What the profiles say: arms that are not what they are called (id → why), and a sentence for each arm that is."""

    refusals: Mapping[str, str]
    notes: tuple[str, ...]


def verify_placement(
    arms: Iterable[Arm], *, worker_factory: WorkerFactory, voices: Mapping[Arm, str], seed: int
) -> PlacementCheck:
    """Profile the first inference of every arm on another provider than the CPU.

    An arm that cannot be profiled is not refused for it: its own launch will say what is the matter with it, and the
    note that its placement is unproven.
    """
    refusals, notes = {}, []
    for arm in arms:
        if arm.provider == "cpu" or arm.engine != "kokoro":
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
    """What ran where, in words."""
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
