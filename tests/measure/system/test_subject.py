import platform
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from harness.measure.system.subject import subject


def git(checkout: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(("git", "-C", str(checkout), *identity, *arguments), check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "kept.txt").write_text("one")
    git(tmp_path, "add", "kept.txt")
    git(tmp_path, "commit", "--quiet", "-m", "Keep one")
    return tmp_path


def head(checkout: Path) -> str:
    done = subprocess.run(("git", "-C", str(checkout), "rev-parse", "HEAD"), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_clean_checkout_is_named_by_its_revision(checkout: Path) -> None:
    (checkout / "untracked.txt").write_text("no part of it")
    found = subject(models=[("b", "22"), ("a", "11")], root=checkout, packages=("numpy",))
    assert found.revision == head(checkout)
    assert len(found.revision) == 40
    assert not found.dirty
    assert found.models == (("a", "11"), ("b", "22"))
    assert found.packages == (("numpy", metadata.version("numpy")),)
    assert found.python == f"CPython {platform.python_version()}"


def test_a_changed_file_makes_it_dirty_from_any_folder_of_it(checkout: Path) -> None:
    (checkout / "kept.txt").write_text("two")
    (checkout / "below").mkdir()
    found = subject(models=(), root=checkout / "below")
    assert found.revision == head(checkout)
    assert found.dirty


def test_changed_baselines_make_it_not_dirty(checkout: Path) -> None:
    root = checkout / "below"
    file = root / "baselines" / "reference.toml"
    file.parent.mkdir(parents=True)
    file.write_text("format = 1")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "accept")
    file.write_text("format = 1\n")
    assert not subject(models=(), root=root, baselines=file.parent).dirty
    assert not subject(models=(), root=checkout, baselines=file.parent).dirty
    assert subject(models=(), root=root, baselines=checkout.parent).dirty
    assert subject(models=(), root=root, baselines=root / ".." / ".." / "elsewhere").dirty
    (checkout / "kept.txt").write_text("two")
    assert subject(models=(), root=root, baselines=file.parent).dirty


def test_a_hook_s_variables_do_not_lead_elsewhere(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = head(checkout)
    monkeypatch.setenv("GIT_DIR", str(checkout / "nowhere"))
    assert subject(models=(), root=checkout).revision == revision


def test_outside_a_repository_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = subject(models=(), root=tmp_path)
    assert (found.revision, found.dirty) == ("", False)


def test_without_git_there_is_no_revision(checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert subject(models=(), root=checkout).revision == ""


def test_packages_that_are_absent_are_left_out_and_the_others_sorted(tmp_path: Path) -> None:
    found = subject(models=(), root=tmp_path, packages=("psutil", "numpy", "no-such-distribution")).packages
    assert found == (("numpy", metadata.version("numpy")), ("psutil", metadata.version("psutil")))
