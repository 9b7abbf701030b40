"""A package that was installed from a commit of a git repository, so that the commit tells its content."""

import re
from dataclasses import dataclass

_SUBDIRECTORY = "#subdirectory="
_WRITTEN = re.compile(rf"(?P<repository>.*)@(?P<commit>[0-9a-f]{{40,64}})(?:{_SUBDIRECTORY}(?P<subdirectory>.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitPackage:
    """`name` is canonical, `subdirectory` the package's folder in the repository; "" for the top.

    `repository` is a URL, such as `https://example.org/bells` or `file:///…`. In a file of references a repository near
    the project is a path from the project's folder on, and "" another one on the disk of whoever accepted it.
    """

    name: str
    repository: str
    commit: str
    subdirectory: str = ""

    def __str__(self) -> str:
        """Repository, commit and folder: `https://example.org/bells@9f3c…#subdirectory=python`."""
        return f"{self.repository}@{self.commit}" + (_SUBDIRECTORY + self.subdirectory if self.subdirectory else "")


def read_git_package(name: str, text: str) -> GitPackage | None:
    """The package whose text is `text`; None if the text has no commit."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    return GitPackage(
        name=name,
        repository=found["repository"],
        commit=found["commit"],
        subdirectory=found["subdirectory"] or "",
    )
