"""Other revisions of the source, as git worktrees in the cache: one per commit, never changed."""

import subprocess
from pathlib import Path

from harness.errors import UsageError

MEASURING = ("harness/measure", "harness/engines", "harness/metrics", "harness/records", "harness/clock.py")
"""What runs in a worker: where two revisions differ in it, they measure differently."""


def checkout(root: Path, revision: str, *, cache: Path) -> Path:
    """The directory of the harness package at `revision`. UsageError where the revision or git is not there."""
    from filelock import FileLock

    commit = resolve(root, revision)
    folder = cache / "revisions" / commit
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder) + ".lock"):
        if not (folder / "harness" / "__init__.py").is_file():
            _git(root, "worktree", "prune")
            _git(root, "worktree", "add", "--force", "--detach", str(folder), commit)
    if not (folder / "harness" / "measure" / "worker.py").is_file():
        raise UsageError(
            f"revision {revision} has no worker",
            where="rev",
            remedy="compare with one that has harness/measure/worker.py",
        )
    return folder / "harness"


def resolve(root: Path, revision: str) -> str:
    """The commit that `revision` names. UsageError where there is none."""
    try:
        _git(root, "rev-parse", "--git-dir")
    except subprocess.CalledProcessError as error:
        raise UsageError(
            f"{revision!r} is neither a model nor a requirement, and {root} lies in no git repository with revisions",
            where="duel",
            remedy="kokoro-bench models list shows models; revisions are those of a clone of kokoro-bench",
        ) from error
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    except subprocess.CalledProcessError as error:
        raise UsageError(
            f"{revision!r} is neither a model, a requirement nor a git revision",
            where="duel",
            remedy="git log --oneline shows revisions, kokoro-bench models list shows models",
        ) from error


def measuring_changes(root: Path, *, commit: str, other: str = "") -> tuple[str, ...]:
    """Files of the measuring code that differ between `commit` and `other`, "" being the tree as it is."""
    commits = [commit, other] if other else [commit]
    said = _git(root, "diff", "--name-only", *commits, "--", *MEASURING)
    return tuple(said.split())


def _git(root: Path, *arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except FileNotFoundError as error:
        raise UsageError("git is not installed", where="duel", remedy="install git") from error
