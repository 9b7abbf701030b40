"""Finds the commit that has the source of an engine as a worker loaded it.

The whole tree may have uncommitted changes, such as the baselines of the run before, although the engine has none; and
the repository that a run is made in may be another one than that of the engine. So the source itself is compared.
"""

import io
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.core.errors import UsageError
from harness.engines.declarations import BUILT_IN
from harness.measure.runtimes.git import git, git_bytes
from harness.measure.worker.loaded_software import built_in_source

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAtCommits:
    """The source of engines in the commits of the repository at `root`."""

    root: Path

    def find(self, engine: str, digest: str, revision: str, dirty: bool) -> tuple[str, bool]:  # noqa: FBT001 - as `FindSource`
        """The commit with the engine's source, and whether the source had uncommitted changes.

        `revision` and `dirty` are those of the whole tree when the run was made. The commit is "" if the repository
        does not have this source. An engine of another package is taken to be as dirty as the tree.
        """
        if not revision or engine not in BUILT_IN:
            return revision, dirty
        # It may have been committed since.
        for commit in dict.fromkeys((revision, self._head())):
            if source_at(self.root, commit, engine) == digest:
                return commit, False
        return (revision, True) if dirty and source_at(self.root, revision, engine) else ("", False)

    def _head(self) -> str:
        try:
            return git(self.root, "rev-parse", "HEAD", timeout_s=TIMEOUT_S).strip()
        except (UsageError, subprocess.TimeoutExpired):
            return ""


@cache
def source_at(root: Path, commit: str, engine: str) -> str:
    """The digest of a built-in engine's modules at a commit; "" if it has no such engine, or if git fails."""
    try:
        archive = git_bytes(root, "archive", "--format=zip", commit, "harness", timeout_s=TIMEOUT_S)
    except (UsageError, subprocess.TimeoutExpired):
        return ""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
        return built_in_source(engine, folder)
