"""Finds accepted commits of packages again: as requirements that uv can install here."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.records.git_package import GitPackage
from harness.measure.runtimes.git import GitError, described_commit, find_commit, git
from harness.measure.runtimes.revisions import repository_of
from harness.plan.package_sources import local_path, local_repository

SHORT = 12
"""Characters of a commit hash that identify it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCommit:
    """A requirement that names one commit, and the commit's short hash and subject; "" if it is on another machine."""

    requirement: str
    description: str = ""


def find_package(package: GitPackage, *, root: Path, directory: Path, named: Sequence[str]) -> FoundCommit:
    """Where the commit of a package is: in its repository, in one that `named` requirements name, or at `directory`.

    Relative paths begin at `root`. UsageError says what is gone and what to do about it.
    """
    recorded = local_repository(package, root=root)
    places = [recorded] if recorded else []
    places += [Path(path) for requirement in named if (path := local_path(requirement))]
    own = [top for place in places if (top := _top(place))]
    around = _top(directory)
    for repository in (*own, *([around] if around else [])):
        if find_commit(repository, package.commit):
            return FoundCommit(
                requirement=_requirement(package, repository.resolve().as_uri()),
                description=described_commit(repository, package.commit),
            )
    if "://" in package.repository and recorded is None:
        return FoundCommit(requirement=_requirement(package, package.repository))
    raise _lost(package, own)


def _requirement(package: GitPackage, url: str) -> str:
    folder = f"#subdirectory={package.subdirectory}" if package.subdirectory else ""
    return f"{package.name} @ git+{url}@{package.commit}{folder}"


def _top(place: Path) -> Path | None:
    """The repository that a folder is or lies in; None for none."""
    if not place.is_dir():
        return None
    with suppress(GitError):
        if git(place, "rev-parse", "--is-bare-repository").strip() == "true":
            return place
        return repository_of(place)
    return None


def _lost(package: GitPackage, own: Sequence[Path]) -> UsageError:
    commit = package.commit[:SHORT]
    if own:
        what = (
            f"{package.name}: revision {commit} is not in the repository {own[0].name}: it was rewritten, or the clone "
            "is shallow; fetch it there, or accept a new run"
        )
    else:
        name = Path(package.repository).name
        what = (
            f"{package.name}: the repository {f'{name} ' if name.strip('.') else ''}with revision {commit} is gone; "
            "run the command in a clone of it, or accept a new run"
        )
    return UsageError(what, where="packages")
