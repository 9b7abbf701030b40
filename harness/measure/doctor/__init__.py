"""What this machine is, what may disturb a measurement on it, what is installed, and what to do about each.

`look` gathers, `examine` judges (pure), `exit_code` speaks to the shell; whoever prints does it elsewhere.
"""

from collections.abc import Iterable

from harness.core.errors import ExitCode
from harness.measure.doctor.checkup import Checkup, Disk, look
from harness.measure.doctor.finding import Finding, Status

__all__ = ["Checkup", "Disk", "Finding", "Status", "examine", "exit_code", "look"]


def examine(checkup: Checkup) -> tuple[Finding, ...]:
    """Every finding, in the order in which one would ask: the machine, its quietness, the software, the places."""
    from harness.measure.doctor import machine_rules, software_rules

    rules = (*machine_rules.RULES, *software_rules.RULES)
    return tuple(finding for rule in rules for finding in rule(checkup))


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """OK whatever may disturb a measurement; MEASUREMENT only where a finding is bad, so that none could be valid."""
    bad = any(finding.status is Status.BAD for finding in findings)
    return ExitCode.MEASUREMENT if bad else ExitCode.OK
