"""The marker with which a test of a suite names its scenarios."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

import pytest

from harness.core.records.scenario import Mode
from harness.plan.matrix import ScenarioRequest

Function = TypeVar("Function", bound=Callable[..., Any])


class Choices(TypedDict, total=False):
    """What a test measures besides its mode and texts; `ScenarioRequest` has the defaults.

    `changes` make further arms of each arm, written as in a duel: `("current", "threads=1", "arena=off")`.
    `recipes` name the quantised variants that are measured with the original if no model is named. `variant` None
    cycles through the texts of a class; by default the first is synthesised, but over HTTP all are, because a
    server may cache its answers. `voices` are measured instead of the default voice; those that the voices file
    lacks are left out, and a voice that the user names replaces them. `concurrencies` are numbers of concurrent
    requests to a server or to an engine that accepts several; with `stampede` they all have the same text.
    `repeats` is the number of sequential requests per block, for a soak.
    """

    speeds: Sequence[float]
    variant: int | None
    changes: Sequence[str]
    recipes: Sequence[str] | None
    concurrencies: Sequence[int]
    stampede: bool
    repeats: int
    voices: Sequence[str]


def scenarios(
    mode: Mode,
    *,
    quick: Sequence[str] = (),
    full: Sequence[str] = (),
    nightly: Sequence[str] = (),
    **choices: Unpack[Choices],
) -> Callable[[Function], Function]:
    """Name the scenarios of a test: a mode, the text classes that each selection adds, and further `Choices`.

    A mode that measures start-up takes any text class as a placeholder of its selection: `quick=("-",)`. TypeError for
    a choice that does not exist.
    """
    if unknown := sorted(choices.keys() - Choices.__annotations__.keys()):
        raise TypeError(f"scenarios() has no {', '.join(unknown)}; it has {', '.join(Choices.__annotations__)}")
    levels = {"quick": tuple(quick), "full": tuple(full), "nightly": tuple(nightly)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, Sequence) else value for name, value in choices.items()
    }
    request = ScenarioRequest(mode=mode, **{"variant": None if mode is Mode.ENDPOINT else 0, **given})
    return pytest.mark.scenarios(request=request, levels=levels)
