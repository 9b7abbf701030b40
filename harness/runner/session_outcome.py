"""The exit code of a pytest session that measures. Pytest's own exit codes have other meanings."""

from dataclasses import dataclass, field

import pytest
from _pytest.outcomes import Failed

from harness.core.errors import ExitCode


class Finding(Failed):
    """A test failed because of a verdict of the run, which the gate has already counted."""


class Unmeasured(Failed):
    """A test uses a value that was not measured."""


@dataclass(slots=True)
class Failures:
    """Failures of tests and suites that are not findings of the gate. Each is a line that starts with its location."""

    assertions: list[str] = field(default_factory=list)
    """Failed limits of a suite: assertions and `pytest.fail`."""
    errors: list[str] = field(default_factory=list)
    """Tests that could not decide: an exception, or a value that was not measured."""
    collecting: list[str] = field(default_factory=list)
    """Files that could not be collected."""

    def note_test(self, report: pytest.TestReport, error: BaseException | None, message: str) -> None:
        """Record a failed test. Without an exception, the test passed although it is marked as a strict xfail."""
        line = f"{report.nodeid}: {message}"
        if not report.failed or isinstance(error, Finding):
            return
        own = isinstance(error, AssertionError | Failed) and not isinstance(error, Unmeasured)
        (self.assertions if own or error is None else self.errors).append(line)

    @property
    def lines(self) -> list[str]:
        return [*self.collecting, *self.errors, *self.assertions]

    def code(self, found: ExitCode) -> ExitCode:
        """The session's exit code if its run ended with `found`. Order: regression, not measured, undecided."""
        if found is ExitCode.INTERRUPTED:
            return found
        if self.assertions or found is ExitCode.WORSE:
            return ExitCode.WORSE
        return ExitCode.MEASUREMENT if self.errors or self.collecting else found
