"""The worked example of docs/engines.md: written out, installed, and measured by the command as it is printed there."""

import re
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

import harness
from harness.store.runs import open_store
from tests.conftest import Command

ROOT = Path(harness.__file__).parents[1]
PAGE = ROOT / "docs/engines.md"


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [body for named, body in fenced if named == language]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has what this one has, and the example."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    here = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(ROOT)])
    (site / "beside.pth").write_text("\n".join(here))
    (source,) = blocks("python")
    (settings,) = (each for each in blocks("toml") if "entry-points" in each)
    project = tomllib.loads(settings)["project"]
    (site / "bells.py").write_text(source)
    info = site / "bells-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items())
        for group, names in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
    return home / "bin/python"


@pytest.mark.skipif(sys.platform == "win32", reason="the environment is laid out as on POSIX")
def test_the_example_is_measured_by_its_command(python: Path, tmp_path: Path, kokoro_bench: Command) -> None:
    (command,) = [
        line.removeprefix("kokoro-bench ").split()
        for block in blocks("")
        for line in block.splitlines()
        if line.startswith("kokoro-bench") and "bells" in line
    ]
    short = ("--launches", "2", "--blocks", "1", "--text", "chars-60")
    done = kokoro_bench(*command, *short, python=python)
    assert done.returncode == 0, done.stdout + done.stderr
    with open_store(tmp_path / ".kokoro-bench/results.sqlite") as store:
        data = store.load(store.resolve("latest"))
    assert {scenario.id for scenario in data.run.scenarios} == {
        "bells.cpu.tdefault.bell=tenor/load-warm",
        "bells.cpu.tdefault.bell=tenor/whole/chars-60/af_heart",
    }
    assert {(launch.facts.packages, launch.facts.options) for launch in data.launches} == {
        ((("bells", "1.0"),), (("bell", "tenor"),)),
    }
    assert all(repetition.outcome.valid for repetition in data.repetitions)
