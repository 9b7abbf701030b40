"""The errors that users see: what happened, where, and what to do next.

Only `harness.cli.main` (and the pytest plugin, for pytest) catches them; all other code raises them.
The exit codes are part of the product's interface and are listed in the README.
"""

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of a command."""

    OK = 0
    """Nothing got worse and no target was missed."""
    WORSE = 1
    """A regression, or a missed target."""
    USAGE = 2
    """The command, the configuration or an input file is wrong, and nothing was measured; or an output is lost."""
    MEASUREMENT = 3
    """Something could not be measured validly; what could be is stored."""
    UNDECIDED = 4
    """Inconclusive, or no baseline, where the policy requires an answer."""
    INTERNAL = 70
    """An unexpected error: one line describes it and names a file with the traceback."""
    INTERRUPTED = 130
    """Ended by Ctrl-C or SIGTERM; finished blocks are stored."""


class BenchError(Exception):
    """An error with a remedy.

    `what` says what is wrong, `where` names the option, file, key or scenario concerned ("" where `what` says it
    all), `remedy` is the next thing to do, preferably a command.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f" — {self.remedy}" if self.remedy else ""
        return f"{place}{self.what}{remedy}"


class UsageError(BenchError):
    """An option, a name or a combination of them that makes no sense."""


class ConfigError(BenchError):
    """A configuration value or file that cannot be used."""


class ModelError(BenchError):
    """A model or voices file that is missing, damaged, not what it should be, or cannot be made."""


class PackageError(ModelError):
    """A package for work on models whose import fails or ends the process."""


class StoreError(BenchError):
    """The results database cannot be opened, read or written."""


class BaselineError(BenchError):
    """A baseline file that cannot be used."""


class RuntimeBuildError(BenchError):
    """A set of packages that cannot be installed, or an environment that does not work."""


class IndexOutOfReachError(RuntimeBuildError):
    """A package index that does not answer: nothing is known of the packages."""


class MeasurementError(BenchError):
    """The measurement failed: a worker crashed, hung, or violated the protocol."""

    exit_code = ExitCode.MEASUREMENT


class InternalError(BenchError):
    """An unexpected error whose traceback has been written to a file: `what` names the file."""

    exit_code = ExitCode.INTERNAL


class Interruption(BenchError):  # noqa: N818 - the user requested it
    """Ended by Ctrl-C while nothing was being measured."""

    exit_code = ExitCode.INTERRUPTED


NAMED_AT_MOST = 12


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """A question with the nearest of `known` to a misspelt `name`; "" if none is near."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def nearest(name: str, known: Sequence[str]) -> str:
    """A remedy for a misspelt `name`: the nearest of `known`, or a list of known names if none is near.

    For a long list only the shortest names are given, because the others are derived from them.
    """
    if question := did_you_mean(name, known):
        return question
    if not known:
        return "none is known"
    if len(known) <= NAMED_AT_MOST:
        return "known: " + ", ".join(sorted(known))
    shortest = sorted(sorted(known, key=lambda each: (len(each), each))[:NAMED_AT_MOST])
    return f"known: {', '.join(shortest)}, … ({len(known)} in all)"
