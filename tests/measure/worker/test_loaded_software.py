"""What a worker reports that it loaded."""

import ast
import base64
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.core.records.git_package import GitPackage
from harness.core.records.repetition import LoadedSoftware
from harness.measure.worker.loaded_software import WORKER, loaded_software
from harness.measure.worker.source_files import harness_modules, imported

SOURCE = Path(harness.__path__[0]).parent


def by_syntax(source: str) -> Iterator[str]:
    """The imports of a module below `harness`, by Python's own parser."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.partition(".")[0] == "harness")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "harness":
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_imports_are_found_as_by_the_parser() -> None:
    in_a_worker = ("core", "engines", "measure", "metrics", "server")
    for file in (each for name in in_a_worker for each in (SOURCE / "harness" / name).rglob("*.py")):
        content = file.read_bytes()
        found = {
            each for module, names in imported(content) for each in (module, *(f"{module}.{name}" for name in names))
        }
        assert set(by_syntax(content.decode())) <= found, file


def test_every_module_that_a_worker_imports_counts() -> None:
    program = (
        f"import sys, {WORKER}, harness.engines.kokoro.engine\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] == 'harness'))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=SOURCE, capture_output=True, text=True, check=True)
    found = harness_modules([WORKER, "harness.engines.kokoro.engine"], str(SOURCE))
    names = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in found}
    assert set(done.stdout.split()) <= names
    assert "harness.engines.espeak" not in names
    assert not any(name.startswith(("harness.analysis", "harness.cli", "harness.runner")) for name in names)


def test_kokoro_reports_its_packages_and_what_they_need() -> None:
    found = loaded_software("kokoro")
    packages = dict(found.packages)
    assert packages["kokoro-onnx"] == found.engine_version
    assert {"numpy", "onnxruntime", "espeakng-loader"} <= set(packages)
    assert not {"kokoro-bench", "pytest"} & set(packages)
    assert list(found.packages) == sorted(found.packages)
    assert found.from_checkout
    assert found == loaded_software("kokoro")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("harness", "reports"):
        shutil.copytree(SOURCE / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "docs").mkdir()
    return tmp_path


def reported(copy: Path, engine: str = "scripted") -> str:
    program = (
        "from harness.measure.worker.loaded_software import loaded_software\n"
        f"print(loaded_software({engine!r}).engine_source)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_source_changes_with_the_modules_of_the_worker_and_nothing_else(copy: Path) -> None:
    before = reported(copy)
    assert len(before) == 64
    for unrelated in ("docs/method.md", "reports/terminal/output.py", "harness/analysis/gate.py", "harness/cli/run.py"):
        with (copy / unrelated).open("a", encoding="utf-8") as file:
            file.write("\n# changed\n")
    assert reported(copy) == before
    windows = copy / "harness" / "engines" / "scripted.py"
    windows.write_bytes(windows.read_bytes().replace(b"\n", b"\r\n"))
    assert reported(copy) == before
    for module in ("harness/engines/scripted.py", "harness/measure/worker/worker.py", "harness/core/clock.py"):
        with (copy / module).open("a", encoding="utf-8") as file:
            file.write("\n# changed\n")
        after = reported(copy)
        assert after != before, module
        before = after
    with (copy / "harness/engines/espeak.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert reported(copy) == before


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with an engine of another distribution and what it needs, as they are installed."""
    for name, version, more in (
        ("other_engine", "2.1", "Requires-Dist: needed>=1\nRequires-Dist: unused; extra == 'more'\n"),
        ("needed", "1.5", "Requires-Dist: kokoro-bench\n"),
        ("unused", "3.0", ""),
    ):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n{more}"
        (info / "METADATA").write_text(f"{head}\nText\n", encoding="utf-8")
    info = tmp_path / "other_engine-2.1.dist-info"
    (info / "entry_points.txt").write_text(
        "[kokoro_bench.engines]\nother = other_engine.start:start\n", encoding="utf-8"
    )
    (tmp_path / "other_engine").mkdir()
    (tmp_path / "other_engine" / "__init__.py").touch()
    (tmp_path / "other_engine" / "start.py").write_text("def start(): ...\n", encoding="utf-8")
    return tmp_path


def test_engine_of_another_distribution_counts_with_its_modules(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(foreign)
    before = loaded_software("other")
    assert before.engine_version == "2.1"
    assert {("other-engine", "2.1"), ("needed", "1.5")} <= set(before.packages)
    assert "unused" not in dict(before.packages)
    assert before.local_packages == ()
    (foreign / "other_engine" / "helper.py").write_text("x = 1\n", encoding="utf-8")
    assert loaded_software("other").engine_source != before.engine_source


def test_package_from_a_folder_counts_by_its_content(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(foreign)
    (foreign / "other_engine-2.1.dist-info" / "direct_url.json").write_text("{}", encoding="utf-8")
    [(name, before)] = loaded_software("other").local_packages
    assert name == "other-engine"
    (foreign / "other_engine" / "start.py").write_text("def start(): pass\n", encoding="utf-8")
    [(_, after)] = loaded_software("other").local_packages
    assert after != before


def test_package_from_a_repository_names_its_commit_unless_it_was_changed(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(foreign)
    start, about = foreign / "other_engine" / "start.py", foreign / "other_engine-2.1.dist-info"
    vcs = '"vcs_info": {"vcs": "git", "commit_id": "c0ffee", "requested_revision": "main"}'
    (about / "direct_url.json").write_text(
        f'{{"url": "https://me:secret@example.org/o", "subdirectory": "py", {vcs}}}', encoding="utf-8"
    )
    (about / "RECORD").write_text(f"other_engine/start.py,sha256=x,{start.stat().st_size}\n", encoding="utf-8")
    package = GitPackage(name="other-engine", repository="https://example.org/o", commit="c0ffee", subdirectory="py")
    assert loaded_software("other").git_packages == (package,)
    os.utime(start, (4e9, 4e9))
    assert loaded_software("other").git_packages == ()


def test_package_that_was_changed_after_its_installation_counts_by_its_content(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(foreign)
    start = foreign / "other_engine" / "start.py"
    digest = base64.urlsafe_b64encode(hashlib.sha256(start.read_bytes()).digest()).decode().rstrip("=")
    record = foreign / "other_engine-2.1.dist-info" / "RECORD"
    record.write_text(
        f"other_engine/start.py,sha256={digest},{start.stat().st_size}\nabsent.py,sha256=x,1\n", encoding="utf-8"
    )
    assert loaded_software("other").local_packages == ()
    os.utime(start, (4e9, 4e9))  # newer, and the same
    assert loaded_software("other").local_packages == ()
    start.write_text("def start(): ...  \n", encoding="utf-8")
    [(name, _)] = loaded_software("other").local_packages
    assert name == "other-engine"


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege elsewhere")
def test_software_that_cannot_be_read_is_unknown_and_fails_no_launch(
    foreign: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(foreign)
    (foreign / "other_engine" / "broken.py").symlink_to(foreign / "nowhere.py")
    assert loaded_software("other") == LoadedSoftware()
    assert "what this worker loaded is not known: FileNotFoundError" in capsys.readouterr().err
