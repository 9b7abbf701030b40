"""The places of a bisection of two stored runs, from the packages that their workers reported."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.records.repetition import LoadedSoftware
from harness.core.records.run import RunData
from harness.runner.bisect.places import package_places
from tests.conftest import Laboratory


def loaded(data: RunData, *packages: tuple[str, str], local: tuple[tuple[str, str], ...] = ()) -> RunData:
    """The run as if its workers had loaded these packages."""
    software = LoadedSoftware(
        engine_version="1", engine_source="a" * 64, interpreter="CPython 3.11.7", packages=packages,
        local_packages=local,
    )  # fmt: skip
    return replace(data, launches=tuple(replace(each, software=software) for each in data.launches))


GOOD = (("bells", "1.0"), ("numpy", "2.0"), ("rope", "3.1"), ("wheel", "4.0"))
BAD = (("bells", "1.1"), ("hemp", "0.1"), ("numpy", "2.2"), ("wheel", "4.0"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    lab = Laboratory(tmp_path_factory.mktemp("packages"))
    return lab.run(launches="1", blocks="1").data


def test_packages_are_swapped_one_after_the_other(data: RunData, tmp_path: Path) -> None:
    places = package_places(loaded(data, *GOOD), loaded(data, *BAD), folder=tmp_path)
    assert [(each.label, each.detail) for each in places] == [
        (f"run {data.run.id}", ""), ("bells", "1.0 → 1.1"), ("hemp", "none → 0.1"), ("numpy", "2.0 → 2.2"),
        ("rope", "3.1 → none"),
    ]  # fmt: skip
    listed = [Path(each.spec.rpartition("path:")[2]).read_text(encoding="utf-8").split() for each in places]
    assert listed[0] == [f"{name}=={version}" for name, version in GOOD]
    assert listed[2] == ["bells==1.1", "hemp==0.1", "numpy==2.0", "rope==3.1", "wheel==4.0"]
    assert listed[-1] == [f"{name}=={version}" for name, version in BAD]


def test_the_settings_are_those_of_the_bad_run(data: RunData, tmp_path: Path) -> None:
    places = package_places(loaded(data, *GOOD), loaded(data, *BAD), folder=tmp_path)
    assert all(each.spec.startswith("model=scripted,path:") for each in places)


def test_what_cannot_be_swapped_is_named(data: RunData, tmp_path: Path) -> None:
    good = loaded(data, *GOOD)
    for bad, what in (
        (good, "the two runs loaded the same packages"),
        (loaded(data, *BAD, local=(("bells", "ab"),)), "bells was installed from a folder or a file"),
        (replace(data, launches=()), "its workers did not report what they loaded"),
    ):
        with pytest.raises(UsageError, match=what):
            package_places(good, bad, folder=tmp_path)
