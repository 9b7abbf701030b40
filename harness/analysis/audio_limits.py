"""Whether a variant sounds wrong: a variant that computes something else must not count as fast.

The limit on the mel-cepstral distortion grows with the original's distance from itself in another launch. The replica's
generator is noisy and lies 1.1 to 1.24 dB from itself, so up to 5.5 dB pass. There, variants of 8, 16 and 4 bits lie at
1.5 to 2.3 dB; white noise, tones, noise as loud as the speech and heavy clipping lie at 6.9 to 19 dB.

The real model is deterministic, and lies 0.00 dB from itself: up to 3.0 dB pass. Measured against `kokoro-v1.0-dq`, on
up to eight voices and three sentences:

    public 8-bit model (9 syntheses)           0.95 to 1.71 dB   duration 0.99 to 1.01
    fp16; int4; u8 (2 each)                    0.6 to 0.7; 0.8 to 1.8; 1.8 to 1.9 dB
    every tenth phoneme dropped (2)            2.6 to 2.8 dB     duration 0.99
    British phonemes in an American voice (1)  2.2 dB
    half speed (1)                             4.0 dB            duration 1.98
    another voice of the same sex (8)          4.5 to 7.1 dB     duration 0.86 to 1.16
    another voice of the other sex (16)        7.0 to 9.3 dB     duration 0.82 to 1.22
    another text (12)                          7.9 to 9.0 dB     duration 0.74 to 1.35
    the second half missing (9)                6.7 to 8.5 dB     duration 0.50
    the halves in the other order (9)          7.8 to 10.0 dB
    16-bit overflow, at three times full scale 2.1 to 5.6 dB
    white noise 30, 20 and 10 dB below speech  2.3 to 4.1, 4.3 to 5.8, 5.7 to 6.7 dB

So these limits find another voice, another text, missing text and noise. Dropped phonemes, another accent and rare
overflows are within the limit; the transcripts and quality estimates have to find them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.core.records.scenario import DEQUANTISED, original_digest, original_of, reference_of, same_request
from harness.engines.pooled.engine_settings import plan_of
from harness.engines.registry import own_options
from harness.engines.speech import EngineRefusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from harness.core.records.scenario import Arm, ModelVariant, Scenario

MCD_FACTOR = 2.0
MCD_MARGIN_DB = 3.0
"""Wrong: farther from the original than twice the original's distance from itself, plus this."""

SHORTEST, LONGEST = 0.75, 4 / 3
"""Wrong: shorter or longer than the original by more than this; the lower end is that of truncated audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """The metric that shows a variant to be wrong, and the reason as a sentence."""

    metric: str
    reason: str


def mcd_limit(own_db: float) -> float:
    """The distortion (dB) beyond which a variant is wrong, given the original's distance from itself, `own_db`."""
    return MCD_FACTOR * own_db + MCD_MARGIN_DB


def find_wrong(*, mcd: float | None, own_mcd: float | None, duration_ratio: float | None) -> Wrong | None:
    """What is wrong with a variant, or None. The distortions are in dB; None means unknown."""
    if duration_ratio is not None and not SHORTEST <= duration_ratio <= LONGEST:
        return Wrong(
            metric="duration_ratio",
            reason=f"Its audio is {duration_ratio:.0%} as long as the original's; "
            f"{SHORTEST:.0%} to {LONGEST:.0%} are accepted.",
        )
    if mcd is not None and own_mcd is not None and mcd > mcd_limit(own_mcd):
        return Wrong(
            metric="mcd",
            reason=f"It sounds wrong: {mcd:.1f} dB of mel-cepstral distortion from the original, which is "
            f"{own_mcd:.1f} dB from itself under another seed; up to {mcd_limit(own_mcd):.1f} dB are accepted.",
        )
    return None


Split = tuple[float, float, float]
"""`first`, `planned_rtf` and `window`."""
WHOLE: Split = (math.inf, 0.0, 0.0)
"""The split of an engine without the option `first`: it takes any text whose audio is kept as a whole."""


def split_of(arm: Arm, reported: Iterable[tuple[str, str]] = ()) -> Split:
    """How an arm splits a text: `first`, `planned_rtf`, `window` as its engine has reported them, else as options say.

    Two arms with the same split cut a text at the same places. The larger `first`, the less is split.
    """
    known = dict(reported)
    if "first" not in known and "first" not in own_options(arm.engine):
        return WHOLE
    try:
        plan = plan_of({**dict(arm.session_options), **known})
    except EngineRefusal:  # such an arm was lost: it has no audio to compare
        return WHOLE
    return plan.first, plan.rtf, plan.window


def counterpart_of(
    scenario: Scenario, scenarios: Sequence[Scenario], *, references: Collection[str] = ()
) -> Scenario | None:
    """The scenario to compare audio with: the known original, or else the run's reference with the same text.

    The original with the same split of the text is preferred, else the one that splits it least; none whose first
    segment is shorter counts, because it is farther from the whole text's speech. A model that the run has with several
    splits is its own original: it is compared with itself where it splits less.

    `references` are the arm ids that verdicts name as their reference (a duel's reference). Without them, the plainest
    arm with the same text is used (`reference_of`). None if no other scenario has the text, or if the scenario itself
    is the reference.
    """
    model = scenario.arm.model
    if model is None or not model.sha256:
        return None
    original = _original(scenario, scenarios)
    if original is not None and original.id != scenario.id:
        return original
    less_split = _less_split(scenario, scenarios)
    if less_split is not None:
        return less_split
    if is_known_original(model):
        return None
    alike = [
        each
        for each in scenarios
        if each.arm.model is not None
        and each.arm.model.sha256
        and same_request(each, scenario)
        # What splits the text more is compared with this one.
        and not (each.arm.model.sha256 == model.sha256 and _cuts(each.arm) > _cuts(scenario.arm))
        and not _begins_shorter(each.arm, scenario.arm)
    ]
    named = next((each for each in alike if each.arm.id in references), None)
    reference = named or reference_of(alike)
    return None if reference is None or reference.id == scenario.id else reference


def _original(scenario: Scenario, scenarios: Sequence[Scenario]) -> Scenario | None:
    """Its original; the one with the same split of the text, if the run has it, else the one that splits it least."""
    split = split_of(scenario.arm)
    usable = [each for each in scenarios if not _begins_shorter(each.arm, scenario.arm)]
    return original_of(scenario, sorted(usable, key=lambda each: (split_of(each.arm) != split, _cuts(each.arm))))


def _begins_shorter(arm: Arm, than: Arm) -> bool:
    return split_of(arm)[0] < split_of(than)[0]


def _less_split(scenario: Scenario, scenarios: Sequence[Scenario]) -> Scenario | None:
    """The scenario of the same model on the CPU that splits the text least; None if none splits it less."""
    alike = [
        each
        for each in scenarios
        if each.arm.model is not None
        and scenario.arm.model is not None
        and each.arm.model.sha256 == scenario.arm.model.sha256
        and each.arm.provider == "cpu"
        and same_request(each, scenario)
    ]
    least = min(alike, key=lambda each: _cuts(each.arm), default=None)
    return least if least is not None and _cuts(least.arm) < _cuts(scenario.arm) else None


def _cuts(arm: Arm) -> tuple[float, bool, float]:
    """Orders arms by how much they split: of the same `first`, windows split, and a lower planned_rtf splits less."""
    first, rtf, window = split_of(arm)
    return -first, window > 0, rtf


def is_known_original(model: ModelVariant) -> bool:
    """Whether a model is known to be an original. The origin of a user's file or a published variant is unknown."""
    if model.origin == DEQUANTISED:
        return True
    made_here = model.origin in ("replica", "scripted")
    return not model.parent and (made_here or (model.origin == "public" and model.recipe.startswith("fp32")))


def is_original_of(other: Scenario, scenario: Scenario, scenarios: Sequence[Scenario]) -> bool:
    """Whether `other` has the original of the scenario's model, or the same model. `scenarios` are those of the run."""
    ours, theirs = scenario.arm.model, other.arm.model
    if ours is None or theirs is None:
        return False
    return theirs.sha256 in (original_digest(ours, scenarios), ours.sha256)


def is_yardstick(scenario: Scenario, scenarios: Sequence[Scenario], *, references: Collection[str] = ()) -> bool:
    """Whether a scenario is also compared with itself under another seed, as the noise floor of the other distances.

    This applies to a known original, and to every scenario that another one is compared with.
    """
    original = _original(scenario, scenarios)
    if original is None or original.id != scenario.id:
        return False
    if scenario.arm.model is not None and is_known_original(scenario.arm.model):
        return True
    others = (counterpart_of(each, scenarios, references=references) for each in scenarios if each.id != scenario.id)
    return any(each is not None and each.id == scenario.id for each in others)
