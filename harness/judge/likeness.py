"""Whether a variant sounds wrong: fast because it computes something else is not fast.

The yardstick is the original itself under another seed: its generator's noise parts it from itself, and no variant can
be nearer. Measured on the replica, whose mel-cepstral distortion from itself is 1.1 dB: variants of 8, 16 and 4 bits
lie 1.5 to 2.1 dB away, white noise, tones, noise as loud as the speech and heavy clipping 6.9 to 19 dB. The limit lies
between, with room for what a listener may still accept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records.scenario import Scenario

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


def original_of(scenario: Scenario, scenarios: Sequence[Scenario]) -> Scenario | None:
    """What a scenario should sound like: its model's original on the CPU, with the same packages where there are such.

    None where the run has none. Of several, the first: an arm with other threads is held against it as well.
    """
    model = scenario.arm.model
    if model is None or not model.sha256:
        return None
    wanted = model.parent or model.sha256
    alike = [
        each
        for each in scenarios
        if each.arm.model is not None
        and each.arm.model.sha256 == wanted
        and each.arm.provider == "cpu"
        and each.arm.engine == scenario.arm.engine
        and _text(each) == _text(scenario)
    ]
    same = [each for each in alike if each.arm.runtime == scenario.arm.runtime]
    return next(iter(same or alike), None)


def _text(scenario: Scenario) -> tuple[object, ...]:
    """What must be equal for two scenarios to say the same in the same way."""
    spoken = scenario.text_class, scenario.variant, scenario.voice, scenario.language, scenario.speed
    return scenario.mode, spoken, scenario.concurrency
