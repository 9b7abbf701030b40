"""Engines of packages of their own, in git repositories and folders, that are built and installed without a network."""

import os
import subprocess
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

from harness.core.cache_root import ROOT_VARIABLE
from harness.models.default import OFFLINE_VARIABLE

WORK = 1_000
"""Milliseconds of a text, which the engine states itself: a busy machine does not change them."""
BACKEND = '''
import zipfile, tomllib

def build_wheel(folder, settings=None, metadata=None):
    """Write a wheel with the package's one module."""
    project = tomllib.loads(open("pyproject.toml").read())["project"]
    name, version = project["name"], project["version"]
    entries = "".join(
        f"[{group}]\\n" + "".join(f"{key} = {value}\\n" for key, value in each.items())
        for group, each in project.get("entry-points", {}).items()
    )
    about = f"{name}-{version}.dist-info"
    requires = "Requires-Dist: kokoro-bench\\n"
    files = {
        f"{name}.py": open(f"{name}.py").read(),
        f"{about}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{requires}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\\nGenerator: hand\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{about}/entry_points.txt": entries,
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\\n" for path in files)
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{wheel}", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    open("left_by_the_build", "w").close()
    return wheel
'''
MODULE = """
import numpy as np
from harness.core.records.repetition import EngineFacts
from harness.engines.protocol import ARRIVAL, BODY_END

class Bells:
    def __init__(self, clock, stages):
        self._clock = clock
        self.facts = EngineFacts(packages=(("{name}", "{released}"),), sample_rate=24_000)
        self._stages = stages

    def synthesise(self, request):
        done = self._clock.now_ns() + {work} * 1_000_000
        self._stages.moment(ARRIVAL, done)
        self._stages.moment(BODY_END, done)
        time = np.arange(len(request.text) * 1_800) / 24_000
        yield (0.2 * np.sin(2_764 * time)).astype(np.float32)

    def close(self):
        pass

def start(order, *, clock, stages):
    return Bells(clock, stages)
"""


def write_engine(
    folder: Path, *, name: str = "bells", engine: str = "bells", released: str = "1.0", work: int = WORK
) -> Path:
    """The source of a package with an engine ("" for a package without one) whose texts take `work` milliseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = f'[project.entry-points."kokoro_bench.engines"]\n{engine} = "{name}:start"\n' if engine else ""
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "{released}"\n{entry}'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(BACKEND)
    (folder / f"{name}.py").write_text(MODULE.format(name=name, released=released, work=work))
    return folder


def write_wheel(folder: Path, *, name: str = "bells", released: str, work: int) -> None:
    """Add a version of the package to the index of `write_index`, without a build."""
    about = f"{name}-{released}.dist-info"
    files = {
        f"{name}.py": MODULE.format(name=name, released=released, work=work),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {released}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[kokoro_bench.engines]\n{name} = {name}:start\n",
    }
    _write_wheel(folder / ".wheels" / f"{name}-{released}-py3-none-any.whl", files, about=about)


def add_wheel(folder: Path, *, name: str, released: str, module: str) -> None:
    """Add a package with this one module, and nothing to require, to the index of `write_index`."""
    stem = name.replace("-", "_")
    about = f"{stem}-{released}.dist-info"
    files = {
        f"{stem}.py": module,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {released}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    _write_wheel(folder / ".wheels" / f"{stem}-{released}-py3-none-any.whl", files, about=about)


def _write_wheel(path: Path, files: dict[str, str], *, about: str) -> None:
    files[f"{about}/RECORD"] = "".join(f"{each},,\n" for each in files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def write_index(folder: Path, *more: str) -> None:
    """Let uv use packages of this folder, not of an index: what a worker needs and `more`, which this process has."""
    wheels = folder / ".wheels"
    wheels.mkdir(parents=True)
    places = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    for name in ("numpy", "psutil", *more):
        stem = f"{name.replace('-', '_')}-{version(name)}"
        files = {
            f"beside_{name}.pth": "\n".join(places),
            f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version(name)}\n",
            f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nTag: py3-none-any\n",
        }
        _write_wheel(wheels / f"{stem}-py3-none-any.whl", files, about=f"{stem}.dist-info")
    (folder / "uv.toml").write_text(f'no-index = true\noffline = true\nfind-links = ["{wheels}"]\n')


def environment_in(root: Path) -> dict[str, str]:
    """The environment of a user whose cache and files of errors lie in a folder, and who downloads nothing."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KOKORO_BENCH_", "PYTEST_"))}
    ours.pop("GITHUB_STEP_SUMMARY", None)
    own = {ROOT_VARIABLE: f"{root / 'cache'}", OFFLINE_VARIABLE: "1", "KOKORO_BENCH_QUALITY": "off", "PYTHONUTF8": "1"}
    return {**ours, **own, "XDG_STATE_HOME": f"{root / '.state'}"}


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    ran = subprocess.run(["git", "-C", str(root), *who, *arguments], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def commit(root: Path, subject: str, tag: str = "") -> str:
    """Commit everything, and return the short hash."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", subject)
    if tag:
        git(root, "tag", tag)
    return git(root, "rev-parse", "--short=7", "HEAD")
