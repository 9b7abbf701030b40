"""The installed packages that an engine uses, read from their metadata, and what of them is not as published."""

import hashlib
import json
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.core.records.git_package import GitPackage
from harness.engines.builds import canonical
from harness.measure.worker.source_files import digest_of, package_modules

HARNESS = "kokoro-bench"

_VERSION = re.compile(r"^Version:\s*(\S+)", re.MULTILINE)
_REQUIREMENT = re.compile(r"^Requires-Dist: *([A-Za-z0-9][A-Za-z0-9._-]*) *(?:\[([^\]\n]*)\])?([^\n]*)", re.MULTILINE)
_RECORDED = re.compile(r"^([^\n,]+\.(?:py|so|pyd|dll|dylib)[0-9.]*),sha256=([^\n,]+),(\d+)", re.MULTILINE)
"""A line of a module in the record of an installation: path, digest, size."""
_WITH_SECRET = re.compile(r"^(https?://)[^/@]*@")
"""The start of a URL with a name or a password, which no record keeps."""
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed distribution: the folder with its metadata, and the head of these."""

    name: str
    folder: str
    head: str

    @property
    def version(self) -> str:
        """The version in its metadata; "" without one."""
        found = _VERSION.search(self.head)
        return found[1] if found else ""

    @property
    def is_local(self) -> bool:
        """Whether it was installed from a folder, a repository or a file: its version does not tell its content."""
        return os.path.isfile(os.path.join(self.folder, "direct_url.json"))

    def requirements(self, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
        """What it requires, with the extras of each. Requirements of other systems are not installed anyway."""
        for name, wanted, marker in _REQUIREMENT.findall(self.head):
            extra = _EXTRA.search(marker)
            if extra is None or extra[1] in extras:
                yield name, frozenset(part.strip() for part in wanted.split(",") if part.strip())

    def text(self, name: str) -> str:
        """The content of a file of its metadata; "" if there is none."""
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def needed(roots: Sequence[str], folders: Mapping[str, str]) -> dict[str, Package]:
    """The installed distributions among `roots` and what they need, by canonical name, without kokoro-bench itself."""
    waiting = [(name, frozenset[str]()) for name in roots]
    found: dict[str, Package] = {}
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        name = canonical(name)
        if (name, extras) in seen or name == HARNESS or name not in folders:
            continue
        seen.add((name, extras))
        if name not in found:
            found[name] = open_package(name, folders[name])
        waiting += found[name].requirements(extras)
    return found


def metadata_folders(places: Sequence[str]) -> dict[str, str]:
    """Canonical name → folder with the metadata, of every distribution in the folders of `places`.

    Looking up each name by itself takes longer.
    """
    found: dict[str, str] = {}
    for place in places:
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                plain = name.rpartition(".")[0].partition("-")[0].replace("_", "-").replace(".", "-").lower()
                found.setdefault(plain, os.path.join(place, name))
    return found


def open_package(name: str, folder: str) -> Package:
    """The distribution of this canonical name whose metadata are in `folder`."""
    package = Package(name=name, folder=folder, head="")
    text = package.text("METADATA") or package.text("PKG-INFO")
    return replace(package, head=text.partition("\n\n")[0])


def content_of(package: Package) -> str:
    """A digest of content that the version does not tell; "" if the content is what the index published.

    That is the record of what was installed from a folder, a repository or a file (of an editable installation its
    modules), and every file that was changed since it was installed.
    """
    lines = list(_changed_files(package))
    if package.is_local:
        record = [each for each in package.text("RECORD").splitlines() if ".dist-info/" not in each]
        hashed = [each for each in record if ",sha256=" in each]
        if hashed and not any("__editable__" in each or each.partition(",")[0].endswith(".pth") for each in hashed):
            lines += hashed
        else:
            lines.append(_modules_of(package))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() if lines else ""


def commit_of(package: Package) -> GitPackage | None:
    """The commit that a package was installed from; None without one, or if files were changed since."""
    try:
        origin = json.loads(package.text("direct_url.json") or "{}")
        commit, url = origin["vcs_info"]["commit_id"], _WITH_SECRET.sub(r"\1", origin["url"])
    except (ValueError, KeyError, TypeError):
        return None
    if origin["vcs_info"].get("vcs") != "git" or any(_changed_files(package)):
        return None
    folder = origin.get("subdirectory") or ""
    return GitPackage(name=package.name, repository=url, commit=commit, subdirectory=folder)


def _modules_of(package: Package) -> str:
    modules: dict[str, str] = {}
    for name in package.text("top_level.txt").split() or [package.name.replace("-", "_")]:
        modules |= package_modules(name)[1]
    return digest_of(modules)


def _changed_files(package: Package) -> Iterator[str]:
    """Path and digest of each module that differs from the record of the installation.

    Only a file that is newer than the record, or of another size, is read.
    """
    try:
        installed_ns = os.stat(os.path.join(package.folder, "RECORD")).st_mtime_ns
    except OSError:
        return
    place = os.path.dirname(package.folder)
    for name, digest, size in _RECORDED.findall(package.text("RECORD")):
        if "/tests/" in name:
            continue
        path = f"{place}/{name}"
        try:
            found = os.stat(path)
            if found.st_mtime_ns <= installed_ns and found.st_size == int(size):
                continue
            with open(path, "rb") as file:
                now = urlsafe_b64encode(hashlib.file_digest(file, "sha256").digest()).decode().rstrip("=")
        except OSError:  # what is not there is not loaded
            continue
        if now != digest:
            yield f"{name},{now}"
