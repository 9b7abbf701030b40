"""Checks out revisions of a git repository as worktrees in the cache, one per commit."""

import shutil
from pathlib import Path

from harness.core.errors import UsageError
from harness.measure.runtimes.git import GitError, find_commit, git
from harness.measure.runtimes.sources import is_package, project_name

MEASURING = (
    "harness/measure",
    "harness/engines",
    "harness/metrics",
    "harness/core",
    # Where records and clock were in revisions before harness/core.
    "harness/records",
    "harness/clock.py",
)
"""The source that runs in a worker. If two revisions differ in it, they measure differently."""
WORKERS = ("harness/measure/worker/__init__.py", "harness/measure/worker.py")
"""Files with `main` of `harness.measure.worker`. Older revisions have the second."""


class UnknownRevision(UsageError):  # noqa: N818 - an answer of the repository
    """The repository does not have a revision, or there is none."""


def checkout(root: Path, revision: str, *, cache: Path) -> Path:
    """The folder with the files of `revision` of the repository at `root`.

    Raises UsageError if the revision or git is missing, or if the checkout fails.
    """
    from filelock import FileLock

    commit = resolve(root, revision)
    folder = cache / "revisions" / commit
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(folder) + ".lock"):
            if not _is_unchanged(folder, commit):
                # The remains of an interrupted or changed checkout.
                shutil.rmtree(folder, ignore_errors=True)
                git(root, "worktree", "prune")
                git(root, "worktree", "add", "--force", "--detach", str(folder), commit)
    except OSError as error:
        raise UsageError(
            f"revision {revision} cannot be checked out ({error.strerror or error})",
            where=str(folder),
            remedy="set KOKORO_BENCH_CACHE to a writable folder",
        ) from error
    return folder


def has_worker(folder: Path) -> bool:
    """Whether a folder has a worker of its own: it is a revision of this harness."""
    return any((folder / worker).is_file() for worker in WORKERS)


def is_harness(folder: Path) -> bool:
    """Whether a folder has the source of kokoro-bench, whose older revisions have no worker."""
    return has_worker(folder) or project_name(folder) == "kokoro-bench"


def harness_in(folder: Path, revision: str) -> Path:
    """The harness package in a checkout. UsageError if it has no worker."""
    if not has_worker(folder):
        raise UsageError(
            f"revision {revision} has no worker",
            where="rev",
            remedy="compare with one that has harness/measure/worker/ or harness/measure/worker.py",
        )
    return folder / "harness"


def repository_of(folder: Path) -> Path:
    """The top of the work tree that a folder lies in. GitError if it lies in none."""
    return Path(git(folder, "rev-parse", "--show-toplevel").strip())


def package_in(root: Path, directory: Path, checked_out: Path) -> Path:
    """The package of a checkout that corresponds to `directory` of the work tree `root`: there, or in a folder above.

    The checkout itself if no folder is a package.
    """
    inside = directory.resolve().relative_to(root.resolve())
    for folder in (inside, *inside.parents):
        if is_package(checked_out / folder):
            return checked_out / folder
    return checked_out


def resolve(root: Path, revision: str) -> str:
    """The commit that `revision` names. Raises UsageError if there is none or git fails."""
    try:
        git(root, "rev-parse", "--git-dir")
    except GitError as error:
        if "not a git repository" not in error.stderr:
            raise
        raise UnknownRevision(
            f"{revision!r} is neither a model nor a requirement, and {root} lies in no git repository with revisions",
            where="duel",
            remedy="run it in the repository of the engine; kokoro-bench models list shows models",
        ) from error
    if commit := find_commit(root, revision):
        return commit
    shallow = git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    raise UnknownRevision(
        f"{revision!r} is neither a model, a requirement nor a git revision"
        + (" that this shallow clone has" if shallow else ""),
        where="duel",
        remedy="git fetch --unshallow gets every revision"
        if shallow
        else "git log --oneline shows revisions, kokoro-bench models list shows models",
    )


def measuring_changes(root: Path, *, commit: str, other: str = "") -> tuple[str, ...]:
    """Files of the measuring code that differ between `commit` and `other`; "" is the working tree."""
    commits = [commit, other] if other else [commit]
    return tuple(git(root, "diff", "--name-only", *commits, "--", *MEASURING).split())


def _is_unchanged(folder: Path, commit: str) -> bool:
    """Whether `folder` is an unchanged checkout of `commit`."""
    if not folder.is_dir():
        return False
    try:
        there = git(folder, "rev-parse", "HEAD").strip() == commit
        return there and not git(folder, "status", "--porcelain", "--untracked-files=no")
    except GitError:
        return False
