"""The versions of a package in an index, which is a folder of wheels here."""

import zipfile
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.measure.runtimes.versions import MOST, versions_between

RELEASED = ("1.8", "1.9", "1.10", "1.10.post1", "2.0rc1", "2.0")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in RELEASED:
        about = f"bells-{version}.dist-info"
        with zipfile.ZipFile(tmp_path / f"bells-{version}-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: bells\nVersion: {version}\n")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nTag: py3-none-any\n")
            archive.writestr(f"{about}/RECORD", "")
    (tmp_path / "uv.toml").write_text(f'no-index = true\noffline = true\nfind-links = ["{tmp_path}"]\n')
    monkeypatch.chdir(tmp_path)


def between(first: str, last: str) -> tuple[str, ...]:
    return versions_between("bells", first, last, report=lambda _message: None)


@pytest.mark.usefixtures("index")
class TestVersions:
    def test_are_in_their_own_order_without_pre_releases(self) -> None:
        assert between("1.8", "2.0") == ("1.8", "1.9", "1.10", "1.10.post1", "2.0")

    def test_are_in_the_order_of_the_ends(self) -> None:
        assert between("1.10", "1.9") == ("1.10", "1.9")

    def test_that_there_are_not_are_named(self) -> None:
        for first, last, absent in (("1.8", "3.0", "3.0"), ("1.7", "1.9", "1.7")):
            with pytest.raises(UsageError, match=f"no version {absent} of bells"):
                between(first, last)

    def test_of_too_many_some_are_to_be_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert MOST > 100
        monkeypatch.setattr("harness.measure.runtimes.versions.MOST", 2)
        with pytest.raises(UsageError, match="more than 2 versions"):
            between("1.8", "2.0")
