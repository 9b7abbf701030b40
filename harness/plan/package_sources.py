"""Packages that an arm names by their source: a folder, a file or an address instead of a version.

- `path:FOLDER`: a package's source; a wheel or an sdist by its path;
- `requirements.txt` and `uv.lock` by their path: a list of packages, a locked project;
- `NAME @ ADDRESS`: a git repository at a revision (`git+file:///…@main`, `git+https://…@v1`), or a file on a server.

As requirements of a runtime, paths are absolute and begin with `path:`; addresses have no spaces.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import quote, unquote

from harness.core.errors import UsageError
from harness.core.names import slug
from harness.core.records.git_package import GitPackage
from harness.core.user_paths import user_path

PATH = "path:"
WHEEL, LOCK = ".whl", "uv.lock"
SDISTS = (".tar.gz", ".tgz", ".zip")
REQUIREMENTS = re.compile(r".*requirements.*\.(txt|in)|requirements\.(txt|in)", re.IGNORECASE)
ADDRESS = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?)\s*@\s*(?P<address>[a-z][a-z0-9+.-]*://.*)")
SETTING = re.compile(r"[A-Za-z_:-]+=")
"""The start of another change of an arm, such as `runtime=`."""
COMMIT = re.compile(r"[0-9a-f]{40}")
LOCAL = ("file://", "git+file://")
SHORT = 7
"""Characters of a commit hash in names."""


def is_source(text: str) -> bool:
    """Whether a text names packages by their source."""
    return text.startswith(PATH) or ADDRESS.fullmatch(text) is not None or _is_package_file(text)


def _is_package_file(text: str) -> bool:
    """Whether a text is the path of a file with packages, by its name."""
    if SETTING.match(text):
        return False
    name = PurePath(text).name
    return name.lower().endswith((WHEEL, *SDISTS)) or name == LOCK or REQUIREMENTS.fullmatch(name) is not None


def read_source(text: str, *, base: Path, where: str, check: bool = True) -> str:
    """The requirement that `text` names; relative paths begin at `base`.

    UsageError for a path that does not exist, unless `check` is False.
    """
    address = ADDRESS.fullmatch(text)
    if address:
        return f"{address['name']} @ {_without_spaces(address['address'])}"
    path = user_path(text.removeprefix(PATH), base=base, where=where)
    if check and not path.exists():
        raise UsageError(
            f"{text}: there is no such file or folder ({path})",
            where=where,
            remedy=r"write the path from the current folder on, and a comma in it as \,",
        )
    return f"{PATH}{path.resolve()}"


def _without_spaces(address: str) -> str:
    """A space ends an address where uv reads it."""
    return quote(address.strip(), safe="%:/?#[]@!$&'()*+,;=~") if address.startswith(LOCAL) else address.strip()


def split_requirements(text: str, *, base: Path) -> list[str]:
    """The requirements of a runtime, which are separated by spaces. A path may have spaces if it exists."""
    found, rest = [], text.strip()
    while rest:
        item = _first(rest, base)
        found.append(item)
        rest = rest[len(item) :].strip()
    return found


def _first(text: str, base: Path) -> str:
    """The first requirement of a text: the longest that names an existing path, else the first word."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    for end in reversed(ends):
        item = text[:end]
        if is_source(item) and (path := local_path(item)) and (base / path).exists() and " " not in _revision(item):
            return item
    address = re.match(r"[^\s@]+\s*@\s*[a-z][a-z0-9+.-]*://\S+", text)
    return address[0] if address else text[: ends[0]]


def _revision(source: str) -> str:
    address = ADDRESS.fullmatch(source)
    git = read_git(address["address"]) if address else None
    return git.revision + git.fragment if git else ""


def runtime_name(requirements: Sequence[str]) -> str:
    """The short names of the requirements, joined by underscores."""
    return "_".join(map(source_name, requirements))


def local_path(source: str) -> str:
    """The path that a source names; "" for an address of another machine."""
    address = ADDRESS.fullmatch(source)
    if address is None:
        return source.removeprefix(PATH)
    if not address["address"].startswith(LOCAL):
        return ""
    git = read_git(address["address"])
    place = git.repository if git else address["address"].partition("#")[0]
    return unquote(place.partition("://")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class GitAddress:
    """The parts of `git+REPOSITORY@REVISION#FRAGMENT`; "" for a part that is not there."""

    repository: str
    revision: str = ""
    fragment: str = ""

    def at(self, commit: str) -> str:
        """The address of one commit."""
        return f"git+{self.repository}@{commit}{self.fragment}"


def read_git(address: str) -> GitAddress | None:
    """The parts of the address of a git repository; None for another address."""
    if not address.startswith("git+"):
        return None
    place, hash_sign, fragment = address.removeprefix("git+").partition("#")
    scheme, separator, path = place.partition("://")
    host, slash, inside = path.partition("/")
    # A folder may have an @ in its name, and a branch a slash.
    if scheme == "file" and Path(unquote(f"/{inside}")).is_dir():
        return GitAddress(repository=place, fragment=hash_sign + fragment)
    repository, _, revision = inside.rpartition("@") if "@" in inside else (inside, "", "")
    return GitAddress(
        repository=f"{scheme}{separator}{host}{slash}{repository}", revision=revision, fragment=hash_sign + fragment
    )


def local_repository(package: GitPackage, *, root: Path | None = None) -> Path | None:
    """The folder of a package's repository; None for one of another machine. Relative paths begin at `root`."""
    if package.repository.startswith("file://"):
        return Path(unquote(package.repository.removeprefix("file://")))
    if not package.repository or "://" in package.repository or root is None:
        return None
    return root / package.repository


def source_name(requirement: str) -> str:
    """A short name for ids and tables, without folders."""
    address = ADDRESS.fullmatch(requirement)
    if address is None:
        if not requirement.startswith(PATH):
            return slug(requirement)
        path = PurePath(requirement.removeprefix(PATH))
        listed = path.name == LOCK or REQUIREMENTS.fullmatch(path.name)
        return slug(f"{path.parent.name}-{path.name}" if listed else path.name.partition("-py3-")[0])
    git = read_git(address["address"])
    if git is None:
        return slug(address["name"])
    revision = git.revision or "git"
    return slug(f"{address['name']}-{revision[:SHORT] if COMMIT.fullmatch(revision) else revision}")
