"""The commits between two revisions of a real repository."""

from pathlib import Path

import pytest

from harness.runner.source_changes import commits_between
from tests.engine_packages import commit, git


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five commits; the last one touches four files."""
    root = tmp_path_factory.mktemp("history")
    git(root, "init", "--quiet")
    for number in range(5):
        for name in ("a", "b", "c", "d")[: 4 if number == 4 else 1]:
            (root / f"{name}.py").write_text(f"NUMBER = {number}\n")
        commit(root, f"Step {number}")
    return root


def test_each_commit_is_named_with_the_files_that_it_touches(history: Path) -> None:
    short = git(history, "rev-parse", "--short=7", "HEAD")
    found = commits_between(history, "HEAD~1", "HEAD")
    assert found == f"1 commit between: {short} Step 4 (a.py, b.py, c.py and 1 more)"


def test_many_commits_are_counted(history: Path) -> None:
    found = commits_between(history, "HEAD~4", "HEAD")
    assert found.startswith("4 commits between: ")
    assert found.endswith("Step 2 (a.py); and 1 more")


def test_an_earlier_revision_lacks_them(history: Path) -> None:
    assert commits_between(history, "HEAD", "HEAD~2").startswith("2 commits fewer: ")


@pytest.mark.parametrize(("before", "after"), [("HEAD", "HEAD"), ("0123456", "HEAD")])
def test_where_git_cannot_tell_nothing_is_named(history: Path, before: str, after: str) -> None:
    assert commits_between(history, before, after) == ""
