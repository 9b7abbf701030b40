"""What lies between the two subjects of a change."""

from dataclasses import replace
from typing import Any

import pytest

from harness.core.records.bisection import Place
from harness.core.records.reference import LoadedSubject, Reference, ReferenceArm
from harness.core.records.repetition import LoadedSoftware
from harness.core.records.run import RunData
from harness.runner import explain
from harness.runner.confirm import ComparedWith
from harness.runner.explain import Between, between
from tests.conftest import Laboratory

SOFTWARE = LoadedSoftware(
    engine_version="1",
    engine_source="ab",
    interpreter="CPython 3.11.7",
    packages=(("numpy", "2"), ("onnxruntime", "1.3")),
)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    data = Laboratory(tmp_path_factory.mktemp("bad")).run(launches="1", blocks="1").data
    return replace(data, launches=tuple(replace(each, software=SOFTWARE) for each in data.launches))


def found(data: RunData, monkeypatch: pytest.MonkeyPatch, *, versions: int = 3, **was: Any) -> Between:
    """What lies between a subject with some differences and that of the run."""
    places = tuple(Place(label=str(number), spec=str(number)) for number in range(versions))
    monkeypatch.setattr(explain, "version_places", lambda *_given, **_named: places)
    scenario = data.run.scenarios[-1]
    subject = LoadedSubject(
        engine="scripted", engine_version="1", engine_source="ab", interpreter="CPython 3.11.7",
        packages=SOFTWARE.packages, model_sha256="", voices_sha256="", provider="cpu", threads=0,
    )  # fmt: skip
    good = ReferenceArm(
        arm_id=scenario.arm.id, subject=replace(subject, **was), run="good", date="2026-01-01", scenarios=(scenario.id,)
    )
    compared = ComparedWith(reference=Reference(arms=(good,)))
    return between(_NO_CONFIG, scenario, data, compared, load=lambda _run: None, report=lambda _line: None)


_NO_CONFIG: Any = None


def test_versions_of_the_one_package_that_differs(bad: RunData, monkeypatch: pytest.MonkeyPatch) -> None:
    one = found(bad, monkeypatch, packages=(("numpy", "2"), ("onnxruntime", "1.1")))
    assert (one.subject, one.several) == ("onnxruntime", True)


@pytest.mark.parametrize(
    ("was", "reason"),
    [
        ({}, "no bisection: neither packages nor revisions differ"),
        ({"packages": ()}, "no bisection: run good, which loaded the other packages, is not stored here"),
        ({"engine_source": "cd"}, "no bisection: the source of the engine differs, and not both are commits"),
        (
            {"packages": (("numpy", "2"), ("onnxruntime", "1.1")), "versions": 2},
            "only one step lies between: onnxruntime 1",
        ),
    ],
)
def test_why_there_is_no_bisection(
    bad: RunData, monkeypatch: pytest.MonkeyPatch, was: dict[str, Any], reason: str
) -> None:
    none = found(bad, monkeypatch, **was)
    assert (none.several, none.reason) == (False, reason)
