"""The exit codes of every command: what its help says, and the only ones that it may end with."""

from collections.abc import Mapping
from types import MappingProxyType

import click

from harness.core.errors import ExitCode

COMMON: Mapping[ExitCode, str] = MappingProxyType({
    ExitCode.OK: "done",
    ExitCode.USAGE: "the command, the configuration, or a file is wrong, or an output could not be written",
    ExitCode.INTERNAL: "internal error; the line on standard error names a file with the traceback",
    ExitCode.INTERRUPTED: "ended by Ctrl-C or SIGTERM",
})  # fmt: skip
"""What every command may end with, unless `OWN` says otherwise."""

_USAGE = "the command, the configuration, or a file is wrong (nothing was measured), or an output could not be written"
_NOT_MEASURED = "something could not be measured validly; what could be is stored"
_STORED = "ended by Ctrl-C or SIGTERM; finished blocks are stored"
_EARLIER = "ended by Ctrl-C or SIGTERM before it served"

OWN: Mapping[str, Mapping[ExitCode, str]] = MappingProxyType({
    "run": {
        ExitCode.OK: "nothing worse, no target missed",
        ExitCode.WORSE: "a regression, a missed target (yours, or the success rate), or a failed assertion of a suite",
        ExitCode.USAGE: _USAGE,
        ExitCode.MEASUREMENT: _NOT_MEASURED,
        ExitCode.UNDECIDED: "inconclusive or no baseline, where --require asks for an answer",
        ExitCode.INTERRUPTED: _STORED,
    },
    "validate": {
        ExitCode.OK: "every target met",
        ExitCode.USAGE: _USAGE,
        ExitCode.WORSE: "a target was missed",
        ExitCode.MEASUREMENT: "a target could not be measured",
        ExitCode.INTERRUPTED: _STORED,
    },
    "load": {
        ExitCode.OK: "every target met; with --sweep, the lightest load was sustained",
        ExitCode.WORSE: "a target was missed; with --sweep, the lightest load was not sustained",
        ExitCode.USAGE: _USAGE,
        ExitCode.MEASUREMENT: "a load could not be measured",
        ExitCode.INTERRUPTED: "ended by Ctrl-C or SIGTERM; finished loads are stored",
    },
    "duel": {
        ExitCode.OK: "the candidate is not shown to be worse",
        ExitCode.WORSE: "the candidate regressed, or missed a target",
        ExitCode.USAGE: _USAGE,
        ExitCode.MEASUREMENT: _NOT_MEASURED,
        ExitCode.UNDECIDED: "inconclusive, where --require answer asks for a decision",
        ExitCode.INTERRUPTED: _STORED,
    },
    "bisect": {
        ExitCode.OK: "the search came to its end: a step, several, or no answer within the budget",
        ExitCode.USAGE: (
            "the command or a name is wrong, no index answers, the budget is too small for one probe, or an output "
            "could not be written"
        ),
        ExitCode.MEASUREMENT: "good or bad could not be measured",
        ExitCode.UNDECIDED: "no answer, where --require answer asks for one",
        ExitCode.INTERRUPTED: "ended by Ctrl-C or SIGTERM; the same command goes on from there",
    },
    "calibrate": {
        ExitCode.OK: "every duel was measured",
        ExitCode.MEASUREMENT: "a duel could not be measured validly, and was left out",
        ExitCode.INTERRUPTED: "ended by Ctrl-C or SIGTERM; finished duels are kept",
    },
    "tune": {
        ExitCode.OK: "the search came to its end, whether or not it found something better",
        ExitCode.MEASUREMENT: _NOT_MEASURED,
        ExitCode.INTERRUPTED: _STORED,
    },
    "optimise": {
        ExitCode.OK: "the search came to its end, whether or not it found or proved something better",
        ExitCode.MEASUREMENT: _NOT_MEASURED,
        ExitCode.INTERRUPTED: "ended by Ctrl-C or SIGTERM; finished blocks are stored, and --resume continues",
    },
    "ci gate": {
        ExitCode.OK: "no regression is shown; warnings say what could not be measured",
        ExitCode.WORSE: "the candidate regressed, or missed a target",
        ExitCode.MEASUREMENT: "with --strict: the duel could not be measured, or gave no result",
        ExitCode.UNDECIDED: "with --strict: the duel is inconclusive, where --require asks for an answer",
    },
    "schedule run": {
        ExitCode.OK: "ended by a signal, or with --once nothing is left to do; nothing worse in its runs",
        ExitCode.WORSE: "a run found a regression or a missed target",
        ExitCode.MEASUREMENT: "a run failed, was interrupted, or found the machine busy for too long",
        ExitCode.UNDECIDED: "a run is inconclusive or has no baseline, where --require asks for an answer",
        ExitCode.INTERRUPTED: "with --once: ended by Ctrl-C or SIGTERM before everything due had run",
    },
    "schedule confirm": {
        ExitCode.OK: "measured; no regression is shown",
        ExitCode.WORSE: "a duel shows a regression",
        ExitCode.MEASUREMENT: "a duel could not be made, or something could not be measured validly",
        ExitCode.UNDECIDED: "inconclusive, where --require answer asks for a decision",
        ExitCode.INTERRUPTED: _STORED,
    },
    "schedule explain": {
        ExitCode.OK: "the search came to its end, or there is nothing to search: the last line says why",
        ExitCode.MEASUREMENT: "good or bad could not be measured",
        ExitCode.INTERRUPTED: "ended by Ctrl-C or SIGTERM; the same command goes on from there",
    },
    "serve": {ExitCode.OK: "ended by Ctrl-C or SIGTERM, after the answers in progress", ExitCode.INTERRUPTED: _EARLIER},
    "mock-server": {ExitCode.OK: "ended by Ctrl-C or SIGTERM", ExitCode.INTERRUPTED: _EARLIER},
    "doctor": {
        ExitCode.OK: "valid measurements are possible",
        ExitCode.MEASUREMENT: "nothing valid can be measured on this machine",
    },
    "models verify": {ExitCode.USAGE: "the model is not sound, or there is none of that name"},
    "runs delete": {ExitCode.USAGE: "no such run, or the question was not answered with yes"},
})  # fmt: skip
"""Command → its exit codes beyond `COMMON`, or with another meaning."""

SAME = MappingProxyType({"schedule run-now": "schedule run"})
"""Commands that end as others do."""

_META = "kokoro-bench command"


def exit_codes(path: str) -> Mapping[ExitCode, str]:
    """The exit codes of a command, such as "runs export", with what each means, in ascending order."""
    found = {**COMMON, **OWN.get(SAME.get(path, path), {})}
    return {code: found[code] for code in sorted(found)}


def document(command: click.Command, path: str) -> click.Command:
    """Add the exit codes to a command's help, and have it note in its context that it was the one called.

    Of a group, to each of its commands.
    """
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            document(each, f"{path} {name}")
        return command
    lines = [f"  {int(code):<3}  {meaning}" for code, meaning in exit_codes(path).items()]
    command.epilog = "\b\nExit codes:\n" + "\n".join(lines)
    inner = command.callback
    if inner is None or getattr(inner, "noted", False):
        return command

    def noting(*arguments: object, **given: object) -> object:
        click.get_current_context().meta[_META] = path
        return inner(*arguments, **given)

    noting.noted = True  # type: ignore[attr-defined]
    command.callback = noting
    return command


def called(context: click.Context) -> str:
    """Which command was called in a context; "" where none was, because its options were wrong or help was shown."""
    found: str = context.meta.get(_META, "")
    return found
