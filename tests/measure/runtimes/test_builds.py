"""Builds of ONNX Runtime overwrite one another: never two in one environment, and named where there are."""

import json
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.engines.builds import builds_in, is_build, overwriting, refuse_several_builds
from harness.measure.runtimes.resolve import overrides, with_defaults
from tests.conftest import Command


def wheel(folder: Path, name: str, released: str, *, module: str, requires: str = "") -> None:
    """A wheel with one module of one empty file."""
    stem = f"{name.replace('-', '_')}-{released}"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {released}\n" + (
        f"Requires-Dist: {requires}\n" if requires else ""
    )
    files = {
        f"{module}/__init__.py": f"brought_by = {name!r}\n",
        f"{stem}.dist-info/METADATA": about,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(f"{path},,\n" for path in (*files, record))
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    """The environment of a command whose package index is a folder with empty packages of the right names."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "onnxruntime", version("onnxruntime"), module="onnxruntime")
    wheel(folder, "kokoro-onnx", version("kokoro-onnx"), module="kokoro_onnx", requires="onnxruntime")
    wheel(folder, "numpy", version("numpy"), module="numpy")
    wheel(folder, "psutil", version("psutil"), module="psutil")
    wheel(folder, "onnxruntime-gpu", "1.30.0", module="onnxruntime")
    wheel(folder, "ort-nightly", "1.33.0", module="onnxruntime")
    wheel(folder, "onnxruntime-qnn", "2.7.0", module="onnxruntime_qnn", requires="onnxruntime")
    wheel(folder, "onnxruntime-odd", "1.0.0", module="onnxruntime")
    wheel(folder, "wants-gpu", "1.0.0", module="wants", requires="onnxruntime-gpu")
    return {
        "UV_FIND_LINKS": str(folder),
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "KOKORO_BENCH_CACHE": str(tmp_path / "c"),
    }


def pinned(index: dict[str, str]) -> list[str]:
    (marker,) = Path(index["KOKORO_BENCH_CACHE"]).glob("runtimes/*/kokoro-bench.json")
    return [line for line in json.loads(marker.read_text())["pinned"] if "onnxruntime" in line or "ort-" in line]


@pytest.mark.parametrize(
    "asked", ["onnxruntime==1.22.1 onnxruntime-gpu==1.22.0", "onnxruntime-gpu==1.22.0 ort_nightly==1"]
)
def test_two_builds_in_one_runtime_are_refused_by_name(here: Command, tmp_path: Path, asked: str) -> None:
    first, second = (each.partition("==")[0].replace("_", "-") for each in asked.split())
    (tmp_path / "pyproject.toml").write_text(f"[tool.kokoro-bench.runtimes]\nboth = {asked.split()}\n")
    for arguments in (("run", "--runtime", "both"), ("runtimes", "build", "both"), ("duel", "runtime=both")):
        found = here(*arguments)
        assert found.returncode == 2
        assert f"{first} and {second} overwrite one another" in found.stderr
    (tmp_path / "pyproject.toml").unlink()
    for arguments in (("run", "--runtime", asked), ("duel", asked.replace(" ", ","))):
        found = here(*arguments, "--model", "replica-small")
        assert found.returncode == 2
        assert found.stderr.count("\n") == 1
        assert f"{first} and {second} overwrite one another" in found.stderr


@pytest.mark.parametrize(
    ("asked", "installed"),
    [
        ("onnxruntime-gpu==1.30.0", ["onnxruntime-gpu==1.30.0"]),
        ("ort-nightly==1.33.0", ["ort-nightly==1.33.0"]),
        ("wants-gpu==1.0.0 onnxruntime-gpu==1.30.0", ["onnxruntime-gpu==1.30.0"]),
        ("onnxruntime-qnn==2.7.0", [f"onnxruntime=={version('onnxruntime')}", "onnxruntime-qnn==2.7.0"]),
    ],
)
def test_another_build_takes_the_place_of_the_plain_one(
    here: Command, index: dict[str, str], asked: str, installed: list[str]
) -> None:
    found = here("runtimes", "build", asked, **index)
    assert found.returncode == 0, found.stderr
    assert pinned(index) == installed


def test_a_build_that_another_package_brings_is_refused_by_name(here: Command, index: dict[str, str]) -> None:
    found = here("runtimes", "build", "wants-gpu==1.0.0", **index)
    assert found.returncode == 2
    assert "onnxruntime and onnxruntime-gpu would overwrite one another" in found.stderr
    assert "request onnxruntime-gpu by name" in found.stderr


def test_an_unknown_build_is_known_by_what_it_installs(here: Command, index: dict[str, str]) -> None:
    found = here("runtimes", "build", "onnxruntime-odd==1.0.0", **index)
    assert found.returncode == 2
    assert "onnxruntime and onnxruntime-odd overwrite one another" in found.stderr


def test_what_stands_beside_a_build_is_none() -> None:
    beside = ("onnxruntime-extensions==0.15", "onnxruntime-genai==0.18", "onnxruntime-ep-openvino==1.8", "ort==1.2")
    assert builds_in(beside) == ()
    assert overrides(with_defaults(beside)) == ()
    assert f"onnxruntime=={version('onnxruntime')}" in with_defaults(beside)
    assert is_build("Ort_Nightly.gpu")
    refuse_several_builds(["onnxruntime==1.31.0", "onnxruntime-qnn>=2.1"], where="here")
    with pytest.raises(UsageError, match="onnxruntime and onnxruntime-qnn overwrite"):
        refuse_several_builds(["onnxruntime==1.20.0", "onnxruntime-qnn==1.20.0"], where="here")


@pytest.fixture
def _nightly_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ort-nightly had been installed into this environment too."""
    folder = tmp_path / "site"
    folder.mkdir()
    wheel(tmp_path, "ort-nightly", "1.33.0", module="onnxruntime")
    with zipfile.ZipFile(tmp_path / "ort_nightly-1.33.0-py3-none-any.whl") as archive:
        archive.extractall(folder, [name for name in archive.namelist() if "dist-info" in name])
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.usefixtures("_nightly_beside")
def test_a_run_notes_that_its_own_environment_has_two(here: Command, tmp_path: Path) -> None:
    assert overwriting() == (f"onnxruntime {version('onnxruntime')}", "ort-nightly 1.33.0")
    found = here("duel", "threads=1", "--model", "replica-small", "--text", "one-word", "--budget", "1s")
    told = f"onnxruntime {version('onnxruntime')} and ort-nightly 1.33.0 overwrite one another"
    assert told in " ".join(found.stdout.split())
    assert told in next(tmp_path.glob("reports/site/runs/*.html")).read_text(encoding="utf-8")


@pytest.mark.usefixtures("_nightly_beside")
def test_the_doctor_finds_two(here: Command, tmp_path: Path) -> None:
    found = here("doctor", PYTHONPATH=str(tmp_path / "site"))
    assert "onnxruntime and ort-nightly overwrite one another" in " ".join(found.stdout.split())
    assert found.returncode != 0


def test_what_a_source_needs_takes_precedence_over_the_versions_here(
    here: Command, index: dict[str, str], tmp_path: Path
) -> None:
    wheel(Path(index["UV_FIND_LINKS"]), "onnxruntime", "1.0.0", module="onnxruntime")
    wheel(tmp_path, "wants-old", "1.0.0", module="wants_old", requires="onnxruntime==1.0.0")
    found = here("runtimes", "build", "wants_old-1.0.0-py3-none-any.whl", **index)
    assert found.returncode == 0, found.stderr
    assert pinned(index) == ["onnxruntime==1.0.0"]
