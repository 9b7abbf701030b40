"""Runs the user's git and explains its failures."""

import os
import subprocess
from pathlib import Path

from harness.core.errors import UsageError

TAIL_LINES = 3
OUTPUTS = (".kokoro-bench", "reports/site")
"""Folders that commands of kokoro-bench write to, which are no part of anybody's source."""
SUBJECT = 80
"""Characters of a commit's description."""
REPOSITORY_VARIABLES = frozenset(
    f"GIT_{name}"
    for name in (
        "ALTERNATE_OBJECT_DIRECTORIES",
        "COMMON_DIR",
        "DIR",
        "GRAFT_FILE",
        "INDEX_FILE",
        "NAMESPACE",
        "OBJECT_DIRECTORY",
        "PREFIX",
        "SHALLOW_FILE",
        "WORK_TREE",
    )
)
"""Variables that a git hook sets. They would point git at the hook's repository instead of the requested one."""
REMEDIES = (
    (("read-only file system", "permission denied", "unable to create", "could not create"), "unwritable"),
    (("no space left", "disk quota", "file too large"), "full"),
    (("dubious ownership",), "owner"),
    (("not a git repository",), "elsewhere"),
    (("could not fetch", "promisor", "unable to read", "missing", "corrupt", "bad object", "bad tree"), "objects"),
)
"""Words in git's messages → kind of failure. Messages about a full disk or missing objects also contain words of other
kinds, so the last match counts."""


class GitError(UsageError):
    """Git was started and failed. `stderr` is its complete standard error."""

    def __init__(self, what: str, *, stderr: str, remedy: str) -> None:
        super().__init__(what, where="git", remedy=remedy)
        self.stderr = stderr


def git(root: Path, *arguments: str, timeout_s: float | None = None) -> str:
    """Run git in `root` and return its output.

    Raises UsageError if git is not installed, GitError with git's error lines if it fails, and
    subprocess.TimeoutExpired after `timeout_s` seconds.
    """
    return git_bytes(root, *arguments, timeout_s=timeout_s).decode("utf-8", "replace")


def git_bytes(root: Path, *arguments: str, timeout_s: float | None = None) -> bytes:
    """Like `git`, for output that is no text."""
    environment = {name: value for name, value in os.environ.items() if name not in REPOSITORY_VARIABLES}
    # Untranslated, because remedies depend on git's messages. Without prompts, because no user can answer them.
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    # An optional lock would disturb other work in the repository.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
            env=environment,
        )
    except FileNotFoundError as error:
        raise UsageError("git is not installed", where="git", remedy="install git") from error
    except OSError as error:
        raise UsageError(f"git cannot be run ({error.strerror})", where="git", remedy="install git") from error
    if done.returncode:
        errors = done.stderr.decode("utf-8", "replace")
        reason = _error_lines(errors) or f"no reason was given, exit code {done.returncode}"
        raise GitError(f"git {arguments[0]} failed: {reason}", stderr=errors, remedy=_remedy(errors, root))
    return done.stdout


def find_commit(root: Path, revision: str) -> str:
    """The commit that a revision of the repository at `root` names; "" if there is none."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    except GitError as error:
        if error.stderr.strip():
            raise
        return ""


def commit_of(root: Path, revision: str, *, where: str) -> str:
    """The same. UsageError if there is none."""
    if commit := find_commit(root, revision):
        return commit
    raise UsageError(
        f"the repository has no revision {revision!r}", where=where, remedy=f"git -C {root} log --oneline --all"
    )


def described_commit(root: Path, commit: str) -> str:
    """The short hash and the subject line of a commit."""
    found = git(root, "log", "-1", "--no-show-signature", "--format=%h %s", "--abbrev=7", commit).strip()
    return found if len(found) <= SUBJECT else f"{found[: SUBJECT - 1].rstrip()}…"


def is_tracked(folder: Path) -> bool:
    """Whether a file of the folder is tracked. GitError if the folder lies in no repository."""
    return bool(git(folder, "ls-files", "--", ".").strip())


def has_changes(folder: Path) -> bool:
    """Whether files of the folder have changes, or are new and not ignored, and not committed.

    New files count because they become a part of what is built or started there.
    """
    paths = [".", *(f":(top,exclude,glob)**/{name}/**" for name in OUTPUTS)]
    return bool(git(folder, "status", "--porcelain", "--", *paths).strip())


def _error_lines(stderr: str) -> str:
    """The last lines that name errors; else the last line."""
    lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "fatal:"))]
    return " / ".join(errors[-TAIL_LINES:] or lines[-1:])


def _remedy(stderr: str, root: Path) -> str:
    lowered = stderr.lower()
    kinds = [kind for words, kind in REMEDIES if any(word in lowered for word in words)]
    return {
        "unwritable": f"make {root}/.git and the cache folder (KOKORO_BENCH_CACHE) writable, or measure in a new clone",
        "full": "make room, or set KOKORO_BENCH_CACHE to a folder on another disk",
        "owner": f"git config --global --add safe.directory {root}",
        "objects": "git fetch --refetch (or --unshallow) fetches missing objects; or measure in a complete new clone",
        "elsewhere": f"run it in a git repository: {root} is in none",
        "": "git fsck shows what is damaged; or measure in a new clone",
    }[kinds[-1] if kinds else ""]
