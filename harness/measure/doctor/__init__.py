"""Checks the machine and the installation for problems, and suggests remedies.

`check` gathers facts, `examine` turns them into findings without any input or output, and `exit_code` summarises them.
"""

from collections.abc import Iterable

from harness.core.errors import ExitCode
from harness.measure.doctor.checkup import Checkup, Disk, check
from harness.measure.doctor.finding import Finding, Status

__all__ = ["Checkup", "Disk", "Finding", "Status", "check", "examine", "exit_code"]


def examine(checkup: Checkup) -> tuple[Finding, ...]:
    """All findings: about the machine, its load, the software, and the disks."""
    from harness.measure.doctor import machine_rules, software_rules

    rules = (*machine_rules.RULES, *software_rules.RULES)
    return tuple(finding for rule in rules for finding in rule(checkup))


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """MEASUREMENT if a finding is bad, so that no measurement could be valid; else OK."""
    bad = any(finding.status is Status.BAD for finding in findings)
    return ExitCode.MEASUREMENT if bad else ExitCode.OK
