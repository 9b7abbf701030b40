"""The user's own git, and what it said when it failed."""

import os
import subprocess
from pathlib import Path

from harness.core.errors import UsageError

TAIL_LINES = 3
LOCAL = frozenset(
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
"""What a hook sets for its own repository: it would point git at that one instead of the one that is asked about."""
REMEDIES = (
    (("read-only file system", "permission denied", "unable to create", "could not create"), "unwritable"),
    (("no space left", "disk quota", "file too large"), "full"),
    (("dubious ownership",), "owner"),
    (("could not fetch", "promisor", "unable to read", "missing", "corrupt", "bad object", "bad tree"), "objects"),
)
"""Words of git's that tell why it failed. A full disk and missing objects have words of the others' beside theirs, so
that the last group that matches counts."""


class GitError(UsageError):
    """Git was started and failed. `said` is everything that it wrote to its standard error."""

    def __init__(self, what: str, *, said: str, remedy: str) -> None:
        super().__init__(what, where="git", remedy=remedy)
        self.said = said


def git(root: Path, *arguments: str, timeout_s: float | None = None) -> str:
    """What git prints, called in `root`.

    Raises UsageError where git is not installed, GitError with git's last words where it fails, and
    subprocess.TimeoutExpired after `timeout_s` seconds.
    """
    environment = {name: value for name, value in os.environ.items() if name not in LOCAL}
    # Untranslated, because a remedy is chosen by git's words; and no question that nobody answers.
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    # An optional lock would get in the way of whoever works in the repository.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
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
        told = _last_words(done.stderr) or f"no reason was given, exit code {done.returncode}"
        raise GitError(f"git {arguments[0]} failed: {told}", said=done.stderr, remedy=_remedy(done.stderr, root))
    return done.stdout


def _last_words(said: str) -> str:
    """The last lines that name errors; where none does, the last line."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "fatal:"))]
    return " / ".join(errors[-TAIL_LINES:] or lines[-1:])


def _remedy(said: str, root: Path) -> str:
    lowered = said.lower()
    kinds = [kind for words, kind in REMEDIES if any(word in lowered for word in words)]
    return {
        "unwritable": f"make {root}/.git and the cache folder (KOKORO_BENCH_CACHE) writable, or measure in a new clone",
        "full": "make room, or set KOKORO_BENCH_CACHE to a folder on another disk",
        "owner": f"git config --global --add safe.directory {root}",
        "objects": "git fetch --refetch (or --unshallow) gets what is missing; or measure in a complete new clone",
        "": "git fsck shows what is damaged; or measure in a new clone",
    }[kinds[-1] if kinds else ""]
