"""`kokoro-bench duel rev=…` where git cannot do its part: one line with git's last words, and exit code 2."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.measure.runtimes.git import GitError, git
from tests.conftest import Command

Refused = Callable[..., str]
IDENTITY = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.invalid", "-c", "commit.gpgsign=false")


def as_user(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ("git", "-C", str(root), *IDENTITY, *arguments), check=True, capture_output=True, encoding="utf-8"
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two revisions of something that has a worker."""
    root = tmp_path / "repository"
    worker = root / "harness" / "measure" / "worker.py"
    worker.parent.mkdir(parents=True)
    (root / "harness" / "__init__.py").write_text("")
    as_user(root, "init", "--quiet")
    as_user(root, "config", "uploadpack.allowFilter", "true")
    for number in (1, 2):
        worker.write_text(f"NUMBER = {number}\n")
        as_user(root, "add", ".")
        as_user(root, "commit", "--quiet", "--message", f"number {number}")
    return root


@pytest.fixture
def refused(here: Command, tmp_path: Path) -> Refused:
    def ask(root: Path, side: str = "rev=HEAD~1", **environment: str) -> str:
        cache = str(tmp_path / "cache")
        found = here("duel", side, "--engine", "espeak", directory=root, KOKORO_BENCH_CACHE=cache, **environment)
        assert found.returncode == 2, found.stdout + found.stderr
        (line,) = found.stderr.strip().splitlines()
        assert line.startswith("kokoro-bench: ")
        assert " — " in line
        return line

    return ask


def broken_git(folder: Path, *, command: str, says: str) -> str:
    """A PATH on which `git` is the real one, except that `command` fails as git does."""
    folder.mkdir()
    script = folder / "git"
    real = shutil.which("git")
    script.write_text(
        f"#!/bin/sh\ncase \" $* \" in *' {command} '*) printf '{says}' >&2; exit 128;; esac\nexec {real} \"$@\"\n"
    )
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_shallow_clone_lacks_the_revision(repository: Path, tmp_path: Path, refused: Refused) -> None:
    as_user(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "shallow")
    told = refused(tmp_path / "shallow")
    assert "nor a git revision that this shallow clone has" in told
    assert "git fetch --unshallow" in told


def test_a_partial_clone_lacks_the_files(repository: Path, tmp_path: Path, refused: Refused) -> None:
    as_user(tmp_path, "clone", "--quiet", "--filter=blob:none", f"file://{repository}", "partial")
    shutil.move(repository, tmp_path / "elsewhere")
    told = refused(tmp_path / "partial")
    assert "git: git worktree failed: " in told
    assert "fatal: could not fetch " in told
    assert "git fetch --refetch" in told


@pytest.mark.parametrize("name", ["HEAD~1", "HEAD~1:harness/measure/worker.py", "HEAD~1^{tree}"])
def test_damaged_object_advises_a_new_clone(repository: Path, refused: Refused, name: str) -> None:
    digest = as_user(repository, "rev-parse", name)
    file = repository / ".git" / "objects" / digest[:2] / digest[2:]
    file.chmod(0o644)
    file.write_bytes(b"garbage")
    told = refused(repository)
    assert "failed: " in told
    assert "fatal: " in told
    assert "new clone" in told


def test_a_repository_in_which_nothing_can_be_written(repository: Path, refused: Refused) -> None:
    (repository / ".git" / "worktrees").write_text("a file, where git wants a folder")
    told = refused(repository)
    assert "git worktree failed: fatal: could not create " in told
    assert "writable" in told


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (
            "Preparing worktree\\nerror: unable to write file a\\nfatal: cannot create b: No space left on device\\n",
            "make room",
        ),
        ("fatal: could not create directory of x: Read-only file system\\n", "writable"),
        ("\\n", "no reason was given, exit code 128"),
    ],
)
def test_a_worktree_that_cannot_be_added(
    repository: Path, tmp_path: Path, refused: Refused, says: str, told: str
) -> None:
    path = broken_git(tmp_path / "bin", command="worktree add", says=says)
    line = refused(repository, PATH=path)
    assert "git worktree failed: " in line
    assert told in line
    assert "Preparing" not in line
    assert refused(repository, PATH=path) == line


def test_a_repository_of_somebody_elses(repository: Path, refused: Refused) -> None:
    told = refused(repository, GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert "dubious ownership" in told
    assert "safe.directory" in told


def test_git_is_not_installed(repository: Path, tmp_path: Path, refused: Refused) -> None:
    told = refused(repository, PATH=str(tmp_path))
    assert "git is not installed" in told


def test_what_lies_in_no_repository(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "plain").mkdir()
    assert "lies in no git repository" in refused(tmp_path / "plain")


def test_a_cache_that_cannot_hold_revisions(repository: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "revisions").write_text("a file, where a folder should be")
    told = refused(repository)
    assert "cannot be checked out" in told
    assert "KOKORO_BENCH_CACHE" in told


def test_a_hooks_repository_is_not_the_one_that_is_asked(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    as_user(tmp_path / "other", "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert git(repository, "log", "-1", "--format=%s").strip() == "number 2"


def test_the_last_words_are_those_that_name_errors(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(GitError, match=r"git show failed: fatal: bad object 0{40}") as caught:
        git(repository, "show", "0" * 40)
    assert str(caught.value).count("\n") == 0
