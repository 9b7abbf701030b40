"""Describes the subject under test: the versions of relevant packages, Python, the models and the revision."""

import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.records.environment import Subject
from harness.engines.builds import BUILDS, installed_versions
from harness.measure.runtimes.git import git

PACKAGES = ("espeakng-loader", "kokoro-onnx", "numpy", *BUILDS, "phonemizer", "phonemizer-fork")
"""Packages that run in a timed synthesis. Other packages cannot change a value."""


def subject(
    *, models: Iterable[tuple[str, str]], root: Path, packages: Sequence[str] = PACKAGES, baselines: Path | None = None
) -> Subject:
    """The subject of this interpreter. `models` are (name, SHA-256); `root` lies in the checkout.

    Packages that are not installed are omitted. The revision is "" without git or a repository. A change in the folder
    `baselines` does not make the revision dirty: each promotion changes it.
    """
    revision = _git(root, "rev-parse", "HEAD")
    paths = [":(top)"]
    if baselines is not None and baselines.resolve().is_relative_to(root.resolve()):
        paths.append(f":(exclude,literal){baselines.resolve().relative_to(root.resolve()).as_posix()}")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *paths) if revision else ""
    return Subject(
        packages=installed_versions(sorted(packages)),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        revision=revision,
        dirty=bool(changes),
        models=tuple(sorted(models)),
    )


def _git(root: Path, *arguments: str) -> str:
    """The output of git in the checkout at `root`; "" if git fails or is absent."""
    try:
        return git(root, *arguments, timeout_s=10.0).strip()
    except (UsageError, subprocess.TimeoutExpired):
        return ""
