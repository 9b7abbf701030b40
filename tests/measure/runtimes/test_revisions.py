"""Other revisions of the source, in a repository made for the purpose."""

import subprocess
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.records.scenario import Runtime
from harness.measure.runtimes.revisions import checkout, harness_in, measuring_changes, package_in, resolve
from harness.measure.runtimes.sources import described_source


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", str(root), *who, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    worker = root / "harness" / "measure" / "worker.py"
    worker.parent.mkdir(parents=True)
    git(root, "init", "--quiet")
    (root / "harness" / "__init__.py").write_text("")
    (root / "README.md").write_text("first\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "without a worker")
    worker.write_text("FIRST = True\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "with a worker")
    git(root, "tag", "v1")
    worker.write_text("SECOND = True\n")
    (root / "README.md").write_text("second\n")
    git(root, "commit", "--quiet", "--all", "--message", "changes the worker")
    return root


def test_a_revision_is_laid_out_once_and_stays_as_it_was(repository: Path, tmp_path: Path) -> None:
    first = checkout(repository, "v1", cache=tmp_path / "cache")
    assert (first / "harness" / "measure" / "worker.py").read_text() == "FIRST = True\n"
    assert checkout(repository, "v1", cache=tmp_path / "cache") == first
    assert (repository / "harness" / "measure" / "worker.py").read_text() == "SECOND = True\n"
    assert git(repository, "status", "--porcelain") == ""


def test_a_revision_that_is_not_there_is_named(repository: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(repository, "v9")
    assert "'v9'" in str(caught.value)
    assert "git log" in str(caught.value)


def test_where_there_is_no_repository_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'HEAD' is neither .* lies in no git repository"):
        resolve(tmp_path, "HEAD")


def test_a_revision_without_a_worker_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no worker"):
        harness_in(checkout(repository, "v1~1", cache=tmp_path / "cache"), "v1~1")


def test_a_revision_whose_worker_is_a_package_is_laid_out(repository: Path, tmp_path: Path) -> None:
    (repository / "harness" / "measure" / "worker").mkdir()
    (repository / "harness" / "measure" / "worker" / "__init__.py").write_text("")
    (repository / "harness" / "measure" / "worker.py").unlink()
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "makes the worker a package")
    harness = harness_in(checkout(repository, "HEAD", cache=tmp_path / "cache"), "HEAD")
    assert (harness / "measure" / "worker" / "__init__.py").is_file()


def test_changes_of_the_measuring_code_are_told_from_others(repository: Path) -> None:
    assert measuring_changes(repository, commit="v1", other="HEAD") == ("harness/measure/worker.py",)
    assert measuring_changes(repository, commit="HEAD") == ()
    (repository / "README.md").write_text("third\n")
    assert measuring_changes(repository, commit="HEAD") == ()


@pytest.mark.parametrize("change", ["changed", "removed", "interrupted", "moved"])
def test_a_checkout_that_is_not_as_it_was_committed_is_laid_out_anew(
    repository: Path, tmp_path: Path, change: str
) -> None:
    cache = tmp_path / "cache"
    worker = checkout(repository, "v1", cache=cache) / "harness" / "measure" / "worker.py"
    if change == "changed":
        worker.write_text("SECOND = True\n")
    elif change == "removed":
        worker.unlink()
    elif change == "interrupted":
        (worker.parents[2] / ".git").unlink()
        worker.unlink()
    else:
        repository = repository.rename(tmp_path / "elsewhere")
    again = checkout(repository, "v1", cache=cache)
    assert (again / "harness" / "measure" / "worker.py").read_text() == "FIRST = True\n"


def test_the_source_of_a_folder_is_described_by_its_own_commit_and_changes(repository: Path) -> None:
    (repository / "engine").mkdir()
    (repository / "engine" / "bells.py").write_text("\n")
    described = described_source(Runtime(name="x", requirements=(f"path:{repository / 'engine'}",)))
    assert described == ""  # nothing in it is tracked
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", f"Add the engine {'and more ' * 20}")
    short = git(repository, "rev-parse", "--short=7", "HEAD")
    (repository / "README.md").write_text("changed elsewhere\n")
    (repository / "engine" / ".kokoro-bench").mkdir()
    (repository / "engine" / ".kokoro-bench" / "results.sqlite").touch()
    described = described_source(Runtime(name="x", requirements=(f"path:{repository / 'engine'}",)))
    assert described.startswith(f"{short} Add the engine and more")
    assert described.endswith("…")
    (repository / "engine" / "new.py").touch()
    described = described_source(Runtime(name="x", requirements=(f"path:{repository / 'engine'}",)))
    assert described.endswith("… with uncommitted changes")
    assert described_source(Runtime(name="x", requirements=(f"path:{repository.parent}",))) == ""


def test_the_package_of_a_checkout_is_in_the_folder_that_the_command_runs_in_or_above(tmp_path: Path) -> None:
    here, checked_out = tmp_path / "here", tmp_path / "there"
    for root in (here, checked_out):
        (root / "engine" / "tests").mkdir(parents=True)
        (root / "docs").mkdir()
        (root / "engine" / "pyproject.toml").write_text("[project]\nname = 'bells'\n")
        (root / "pyproject.toml").write_text("[tool.ruff]\n")
    assert package_in(here, here / "engine" / "tests", checked_out) == checked_out / "engine"
    assert package_in(here, here / "docs", checked_out) == checked_out
