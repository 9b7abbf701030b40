"""What is under test: versions of the packages that a figure depends on, the Python, the models, the revision."""

import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.records.environment import Subject
from harness.engines.builds import BUILDS
from harness.measure.runtimes.git import git

PACKAGES = ("espeakng-loader", "kokoro-onnx", "numpy", *BUILDS, "phonemizer", "phonemizer-fork")
"""What runs in a timed synthesis; the rest of the environment cannot change a figure."""


def subject(*, models: Iterable[tuple[str, str]], root: Path, packages: Sequence[str] = PACKAGES) -> Subject:
    """The subject as it stands in this interpreter; `models` are (name, SHA-256), `root` lies in the checkout.

    Packages that are not installed are left out. The revision is "" where git or a repository is absent.
    """
    revision = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no") if revision else ""
    return Subject(
        packages=installed(packages),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        revision=revision,
        dirty=bool(changes),
        models=tuple(sorted(models)),
    )


def installed(packages: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Those of `packages` that this interpreter has, with their versions, by name."""
    found = []
    for name in sorted(packages):
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def _git(root: Path, *arguments: str) -> str:
    """What git says of the checkout around `root`; "" when it says nothing or is not there."""
    try:
        return git(root, *arguments, timeout_s=10.0).strip()
    except (UsageError, subprocess.TimeoutExpired):
        return ""
