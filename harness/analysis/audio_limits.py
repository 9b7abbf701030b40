"""Whether a variant sounds wrong: fast because it computes something else is not fast.

The yardstick is the original itself under another seed: its generator's noise parts it from itself, and no variant can
be nearer. Measured on the replica, whose mel-cepstral distortion from itself is 1.1 dB: variants of 8, 16 and 4 bits
lie 1.5 to 2.1 dB away, white noise, tones, noise as loud as the speech and heavy clipping 6.9 to 19 dB. The limit lies
between, with room for what a listener may still accept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.core.records.scenario import original_of, reference_of, same_request

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from harness.core.records.scenario import ModelVariant, Scenario

MCD_FACTOR = 2.0
MCD_MARGIN_DB = 3.0
"""Wrong: farther from the original than twice the original's distance from itself, plus this."""

SHORTEST, LONGEST = 0.75, 4 / 3
"""Wrong: shorter or longer than the original by more than this; the lower end is that of truncated audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """The metric that gives a variant away, and why, in a sentence."""

    metric: str
    reason: str


def mcd_limit(own_db: float) -> float:
    """The distortion (dB) beyond which a variant is wrong, where the original's own is `own_db`."""
    return MCD_FACTOR * own_db + MCD_MARGIN_DB


def find_wrong(*, mcd: float | None, own_mcd: float | None, duration_ratio: float | None) -> Wrong | None:
    """What is wrong with a variant, None where nothing is known to be. Distortions in dB, None where unknown."""
    if duration_ratio is not None and not SHORTEST <= duration_ratio <= LONGEST:
        return Wrong(
            metric="duration_ratio",
            reason=f"It speaks {duration_ratio:.0%} as long as the original; "
            f"between {SHORTEST:.0%} and {LONGEST:.0%} would pass.",
        )
    if mcd is not None and own_mcd is not None and mcd > mcd_limit(own_mcd):
        return Wrong(
            metric="mcd",
            reason=f"It sounds wrong: {mcd:.1f} dB of mel-cepstral distortion from the original, which lies "
            f"{own_mcd:.1f} dB from itself under another seed; up to {mcd_limit(own_mcd):.1f} dB would pass.",
        )
    return None


def counterpart_of(
    scenario: Scenario, scenarios: Sequence[Scenario], *, references: Collection[str] = ()
) -> Scenario | None:
    """What a scenario's audio is held against: its known original, else the arm that the others stand beside.

    `references` are the arm ids that verdicts name as their other side (a duel's reference); where there are none, it
    is the plainest arm with the same text (`reference_of`). None where the run has no other side: the scenario is alone
    with its text, or is itself what the others are held against.
    """
    model = scenario.arm.model
    if model is None or not model.sha256:
        return None
    original = original_of(scenario, scenarios)
    if original is not None and original.id != scenario.id:
        return original
    if is_known_original(model):
        return None
    alike = [
        each
        for each in scenarios
        if each.arm.model is not None and each.arm.model.sha256 and same_request(each, scenario)
    ]
    named = next((each for each in alike if each.arm.id in references), None)
    reference = named or reference_of(alike)
    return None if reference is None or reference.id == scenario.id else reference


def is_known_original(model: ModelVariant) -> bool:
    """Whether nothing that a model was made from is left out: of a user's file, or a published variant, nobody says."""
    made_here = model.origin in ("replica", "scripted")
    return not model.parent and (made_here or (model.origin == "public" and model.recipe.startswith("fp32")))


def is_yardstick(scenario: Scenario, scenarios: Sequence[Scenario], *, references: Collection[str] = ()) -> bool:
    """Whether a scenario is also held against itself under another seed: what the others' distances are read beside.

    So is an original that is known as one, and any other that something in the run is held against.
    """
    original = original_of(scenario, scenarios)
    if original is None or original.id != scenario.id:
        return False
    if scenario.arm.model is not None and is_known_original(scenario.arm.model):
        return True
    others = (counterpart_of(each, scenarios, references=references) for each in scenarios if each.id != scenario.id)
    return any(each is not None and each.id == scenario.id for each in others)
