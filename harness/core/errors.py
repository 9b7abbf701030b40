"""Every error that a user can cause or must hear of: what happened, where, and what to do next.

One place catches them (`harness.cli.main`, and the pytest plugin for pytest's own road); everything below only raises.
The exit codes are part of the product's interface and are listed in the README.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a finished command says to the shell."""

    OK = 0
    """Nothing got worse and every target was met."""
    WORSE = 1
    """A regression, or a missed target."""
    USAGE = 2
    """The command, the configuration or an input file is wrong; nothing was measured."""
    MEASUREMENT = 3
    """Something could not be measured validly; what could be is stored."""
    UNDECIDED = 4
    """Inconclusive, or no baseline, where the policy requires an answer."""
    INTERNAL = 70
    """An error that nobody foresaw: one line says what it was, and names a file with the traceback."""
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
    """A package that work on a model needs, and whose import fails or ends the process."""


class StoreError(BenchError):
    """The results database cannot be opened, read or written."""


class BaselineError(BenchError):
    """A baseline file that cannot be used."""


class RuntimeBuildError(BenchError):
    """A set of packages that cannot be installed, or an environment that does not work."""


class MeasurementError(BenchError):
    """The measuring itself went wrong: a worker that crashed, hung, or does not speak our protocol."""

    exit_code = ExitCode.MEASUREMENT


class InternalError(BenchError):
    """An error that nobody foresaw, of which a file has been written: `what` names it."""

    exit_code = ExitCode.INTERNAL


class Interruption(BenchError):  # noqa: N818 - it is a wish, not an accident
    """Ended by Ctrl-C while nothing was being measured."""

    exit_code = ExitCode.INTERRUPTED


NAMED_AT_MOST = 12


def nearest(name: str, known: "list[str] | tuple[str, ...]") -> str:
    """A remedy for a misspelt `name`: the nearest of `known`, or what there is when none is near.

    Of a long list only the shortest names are told, which are the ones that others are derived from.
    """
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not known:
        return "none is known"
    if len(known) <= NAMED_AT_MOST:
        return "known: " + ", ".join(sorted(known))
    shortest = sorted(sorted(known, key=lambda each: (len(each), each))[:NAMED_AT_MOST])
    return f"known: {', '.join(shortest)}, … ({len(known)} in all)"
