"""What differs between two subjects, arms or machines, as values under the same names."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from harness.core.records.suspect import SuspectKind


class Difference(NamedTuple):
    """A value that is not the same in both."""

    name: str
    before: str
    after: str
    kind: SuspectKind = SuspectKind.DIFFERENCE

    def __str__(self) -> str:
        return f"{self.name} {self.before} → {self.after}"


def differences(
    before: Mapping[str, str] | Iterable[tuple[str, str]],
    after: Mapping[str, str] | Iterable[tuple[str, str]],
    *,
    absent: str = "absent",
    kind: SuspectKind = SuspectKind.DIFFERENCE,
) -> list[Difference]:
    """The names whose values differ, in the order of `after`; those that only `before` has come last.

    `absent` stands for the value that one of the two does not have, `kind` is that of all.
    """
    old, new = dict(before), dict(after)
    return [
        Difference(name, old.get(name, absent), new.get(name, absent), kind)
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    ]
