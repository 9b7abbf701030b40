"""The versions of a package in an index, in order. uv finds them: it knows the user's index and what fits here."""

import sys
from collections.abc import Callable

from packaging.version import InvalidVersion, Version

from harness.core.errors import IndexOutOfReachError, RuntimeBuildError, UsageError
from harness.core.uv import run_uv

MOST = 300
"""More versions than these are not looked up one by one."""


def versions_between(package: str, first: str, last: str, *, report: Callable[[str], None]) -> tuple[str, ...]:
    """The versions from `first` to `last`, both included, in this order, which may be descending.

    Only released versions that fit this Python and system; uv names the newest below a bound, one after the other.
    UsageError for a version that the index does not have, and RuntimeBuildError if no index answers.
    """
    low, high = sorted((read_version(first), read_version(last)))
    report(f"asking the package index for the versions of {package} from {low} to {high}")
    found = [_newest(package, f"=={high}")]
    while read_version(found[-1]) > low:
        if len(found) == MOST:
            raise UsageError(
                f"there are more than {MOST} versions from {low} to {high}",
                where=package,
                remedy="name some of them: --versions A,B,C",
            )
        below = _newest(package, f">={low},<{found[-1]}", otherwise=f"=={low}")
        found.append(below)
    if read_version(found[-1]) != low:
        raise _unknown(package, str(low))
    ascending = tuple(reversed(found))
    return ascending if read_version(first) == low else ascending[::-1]


def read_version(text: str) -> Version:
    """A version, for comparisons. UsageError if the text is none."""
    try:
        return Version(text)
    except InvalidVersion as error:
        raise UsageError(f"{text!r} is no version", where="bisect", remedy="for example 1.20.1") from error


def _newest(package: str, bounds: str, *, otherwise: str = "") -> str:
    """The newest version within bounds."""
    try:
        printed = run_uv(
            "pip", "compile", "-", "--no-deps", "--no-header", "--no-annotate", "--quiet", "--python", sys.executable,
            given=f"{package}{bounds}", what=package, failure="no such version",
        )  # fmt: skip
    except IndexOutOfReachError:
        raise
    except RuntimeBuildError as error:
        raise _unknown(package, (otherwise or bounds).removeprefix("==")) from error
    pinned = next(line for line in printed.splitlines() if "==" in line)
    return pinned.partition("==")[2].split(";")[0].strip()


def _unknown(package: str, version: str) -> UsageError:
    return UsageError(
        f"the index has no version {version} of {package} for this Python",
        where="bisect",
        remedy="check the name and the version, or name versions that there are: --versions A,B,C",
    )
