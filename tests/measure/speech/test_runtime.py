"""The environment of the speech tools: built once from a lock with hashes, whatever happens meanwhile."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.errors import RuntimeBuildError
from harness.measure.runtimes import build as build_module
from harness.measure.runtimes.build import Runtimes
from harness.measure.speech.runtime import LOCK, VARIABLE, identity, prepare
from harness.models.default import OFFLINE_VARIABLE
from tests.measure.runtimes.test_builds import wheel

ROOT = Path(__file__).parents[3]


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of one small package that a folder of wheels has."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "jiwer", "4.0.0", module="jiwer")
    (file,) = folder.iterdir()
    for name, value in {"UV_FIND_LINKS": str(folder), "UV_NO_INDEX": "1", "UV_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(OFFLINE_VARIABLE, raising=False)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    path = tmp_path / "speech.lock"
    path.write_text(f"jiwer==4.0.0 \\\n    --hash=sha256:{digest}\n")
    return path


def test_is_built_once_and_told_in_two_lines(lock: Path, tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        found = prepare(tmp_path / "cache", report=told.append, lock=lock, check="import jiwer")
    assert len(told) == 2
    assert re.fullmatch(r"built the environment of the speech tools in \d+ s", told[1])
    assert found.judge.startswith("jiwer 4.0.0 (lock ")
    (environment,) = Runtimes(tmp_path / "cache").list()
    assert (environment.name, environment.requirements) == ("speech", ("jiwer==4.0.0",))


def test_two_builds_at_once_make_one(lock: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def build() -> str:
        return prepare(tmp_path / "cache", report=told.append, lock=lock, check="import jiwer").python

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(build), pool.submit(build)
    assert first.result() == second.result()
    assert len(told) == 2


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_a_build_that_was_killed_is_made_again(lock: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.measure.speech import runtime\n"
        "runtime.check_imports = lambda *_, **__: (print('installed', flush=True), sys.stdin.read())\n"
        f"runtime.prepare(Path({str(tmp_path / 'cache')!r}), report=lambda _: None, lock=Path({str(lock)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"installed\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list((tmp_path / "cache" / "runtimes").glob("*.part"))
    assert Runtimes(tmp_path / "cache").list() == ()
    prepare(tmp_path / "cache", report=lambda _: None, lock=lock, check="import jiwer")
    assert not list((tmp_path / "cache" / "runtimes").glob("*.part"))


def test_what_cannot_be_installed_or_imported_is_an_error_that_leaves_nothing(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(check: str = "import jiwer") -> None:
        prepare(tmp_path / "cache", report=lambda _: None, lock=lock, check=check)

    with pytest.raises(RuntimeBuildError, match="an import fails: ModuleNotFoundError: No module named 'nothing'"):
        build("import nothing")
    monkeypatch.setattr(build_module, "CHECK_TIMEOUT_S", 0.5)
    with pytest.raises(RuntimeBuildError, match="an import does not end"):
        build("import time; time.sleep(3600)")
    lock.write_text(lock.read_text().replace("4.0.0", "4.0.1"))
    with pytest.raises(RuntimeBuildError, match="cannot be installed"):
        build()
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(RuntimeBuildError, match="uv cannot be run"):
        build()
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    with pytest.raises(RuntimeBuildError, match="they are not here, and KOKORO_BENCH_OFFLINE is set"):
        build()
    assert [each for each in (tmp_path / "cache" / "runtimes").iterdir() if each.is_dir()] == []


def test_the_lock_has_hashes_and_no_address_and_fits_the_extra() -> None:
    content = LOCK.read_text(encoding="utf-8")
    assert "://" not in content
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", content, flags=re.MULTILINE))
    assert len(re.findall(r"^[\w.-]+==.*\\\n    --hash=", content, flags=re.MULTILINE)) == len(
        re.findall(r"^\S+==", content, flags=re.MULTILINE)
    )
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["quality"]
    assert {re.split(r"[=>]", each)[0] for each in extra} <= pinned.keys()
    assert all(name in identity(content) for name in ("faster-whisper 1.", "speechmos 0.", "whisper-normalizer 0."))
