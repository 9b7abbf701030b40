"""The marker of a suite: what it makes of a test's choices."""

import pytest

from harness.core.records.scenario import Mode
from harness.plan.matrix import ScenarioRequest
from harness.runner.pytest_marker import scenarios


def request_of(mode: Mode, **choices: object) -> ScenarioRequest:
    made = scenarios(mode, quick=["chars-12"], **choices)  # type: ignore[arg-type]
    assert made.kwargs["levels"] == {"quick": ("chars-12",), "full": (), "nightly": ()}  # type: ignore[attr-defined]
    found = made.kwargs["request"]  # type: ignore[attr-defined]
    assert isinstance(found, ScenarioRequest)
    return found


def test_without_choices_the_first_text_is_synthesised_and_over_http_every_one() -> None:
    assert request_of(Mode.WHOLE) == ScenarioRequest(mode=Mode.WHOLE, variant=0)
    assert request_of(Mode.ENDPOINT) == ScenarioRequest(mode=Mode.ENDPOINT, variant=None)
    assert request_of(Mode.ENDPOINT, variant=3).variant == 3
    assert request_of(Mode.WHOLE, variant=None).variant is None


def test_every_choice_arrives_and_lists_are_tuples() -> None:
    found = request_of(
        Mode.STREAM, speeds=[0.8], changes=["threads=1"], recipes=["u8"], concurrencies=[1, 8], stampede=True, repeats=5
    )
    assert found == ScenarioRequest(
        mode=Mode.STREAM,
        speeds=(0.8,),
        changes=("threads=1",),
        recipes=("u8",),
        concurrencies=(1, 8),
        stampede=True,
        repeats=5,
    )
    assert request_of(Mode.WHOLE, recipes=None).recipes is None


@pytest.mark.parametrize("name", ["texts", "traffic", "speed"])
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(TypeError, match=rf"scenarios\(\) has no {name}; it has speeds, variant, changes"):
        request_of(Mode.WHOLE, **{name: ("x",)})
