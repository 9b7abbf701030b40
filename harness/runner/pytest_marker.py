"""The marker with which a test of a suite names its scenarios."""

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, TypeVar

import pytest

from harness.core.records.scenario import Mode
from harness.plan.matrix import ScenarioRequest

Function = TypeVar("Function", bound=Callable[..., Any])


def scenarios(  # noqa: PLR0913 - each is a decision of the suite's
    mode: Mode,
    *,
    quick: Sequence[str] = (),
    full: Sequence[str] = (),
    nightly: Sequence[str] = (),
    speeds: Sequence[float] = (1.0,),
    variant: "int | EllipsisType | None" = ...,
    changes: Sequence[str] = (),
    recipes: Sequence[str] | None = None,
    concurrencies: Sequence[int] = (1,),
    stampede: bool = False,
    repeats: int = 1,
) -> Callable[[Function], Function]:
    """Say which scenarios a test is about: a mode, and the text classes that each selection adds.

    For a mode that measures start-up give any text class as a placeholder of its level: `quick=("-",)`. `changes` make
    further arms of each arm, written as the sides of a duel: `("current", "threads=1", "arena=off")`; `recipes` name
    the quantised variants beside the original, where no model is named. `variant` None goes through the texts of a
    class; unless it is given, the first is spoken, but over HTTP all are, because a server may keep its answers.
    `concurrencies` are how many texts are asked for at once, with `stampede` all the same one: of a server, or of an
    engine that several may ask; `repeats` is how many a block speaks one after the other, for a soak.
    """
    levels = {"quick": tuple(quick), "full": tuple(full), "nightly": tuple(nightly)}
    request = ScenarioRequest(
        mode=mode,
        speeds=tuple(speeds),
        variant=(None if mode is Mode.ENDPOINT else 0) if isinstance(variant, EllipsisType) else variant,
        changes=tuple(changes),
        recipes=None if recipes is None else tuple(recipes),
        concurrencies=tuple(concurrencies),
        stampede=stampede,
        repeats=repeats,
    )
    return pytest.mark.scenarios(request=request, levels=levels)
