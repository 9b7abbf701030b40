"""The voices of a run: the user's, else the default voice or what the voices file has instead of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.core.errors import UsageError, nearest
from harness.core.records.scenario import Arm, Scenario

Voices = Callable[[Arm], Sequence[str] | None]
"""The usable voices of an arm's voices file, sorted; None where the arm has no such file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceChoice:
    """The scenarios of a run in voices that are there, and what became of those that were asked for in others."""

    scenarios: tuple[Scenario, ...]
    replaced: Mapping[str, str] = field(default_factory=dict)
    """Id of a scenario as it was asked for → its id with the voice that is measured."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Id of a scenario that is not measured → the reason."""
    notes: tuple[str, ...] = ()


def choose_voices(scenarios: Sequence[Scenario], voices: Voices, *, default: str) -> VoiceChoice:
    """Give every scenario a voice that its voices file has.

    `default` is the voice of a run whose user named none, "" where the user did. Where a file lacks it, all scenarios
    get the first voice that every file has, so that they stay comparable. A suite may ask for voices that not every
    file has: such a scenario is left out with the reason. UsageError if nothing is left.
    """
    known = {arm: tuple(found) for arm in dict.fromkeys(each.arm for each in scenarios) if (found := voices(arm))}
    instead = _instead(default, known)
    kept: list[Scenario] = []
    replaced, left_out = {}, {}
    for scenario in scenarios:
        spoken = replace(scenario, voice=instead) if instead and scenario.voice == default else scenario
        missing = _missing(spoken, known)
        if missing:
            left_out[scenario.id] = f"no voice {missing!r} in the voices file; {nearest(missing, known[scenario.arm])}"
            continue
        if spoken is not scenario:
            replaced[scenario.id] = spoken.id
        kept.append(spoken)
    if scenarios and not kept:
        raise UsageError(next(iter(left_out.values())), where="--voice", remedy="name another with --voice NAME")
    notes = []
    if instead:
        notes.append(f"voice: {instead}, because a voices file has no usable {default}; --voice NAME chooses another")
    unheard = dict.fromkeys(each.voice for each in scenarios if each.id in left_out)
    if unheard:
        notes.append(f"not measured, because the voices file lacks them: {', '.join(unheard)}")
    return VoiceChoice(scenarios=tuple(kept), replaced=replaced, left_out=left_out, notes=tuple(notes))


def _instead(default: str, known: Mapping[Arm, Sequence[str]]) -> str:
    """The first voice that all files have, "" where all have the default, or have none in common."""
    if not default or not known or all(default in names for names in known.values()):
        return ""
    common = set.intersection(*map(set, known.values()))
    return min(common, default="")


def _missing(scenario: Scenario, known: Mapping[Arm, Sequence[str]]) -> str:
    """The voice, or the part of a blend, that the scenario's file lacks; "" where nothing is missing or known."""
    names = known.get(scenario.arm)
    if names is None:
        return ""
    return next((part for part in scenario.voice.split("+") if part not in names), "")
