"""What a pytest session of ours came to, as an exit code of ours: pytest's own numbers mean other things."""

from dataclasses import dataclass, field

import pytest
from _pytest.outcomes import Failed

from harness.core.errors import ExitCode


class Finding(Failed):
    """A test fails with what the run's tables and verdicts say too: the gate has counted it already."""


class Unmeasured(Failed):
    """A test asks for a figure that was not measured."""


@dataclass(slots=True)
class Failures:
    """What tests and suites failed at beyond the gate's findings, each as a line that begins with where."""

    assertions: list[str] = field(default_factory=list)
    """A suite's own limits: assertions, `pytest.fail`."""
    errors: list[str] = field(default_factory=list)
    """What kept a test from being judged: an exception, a figure that was not measured."""
    collecting: list[str] = field(default_factory=list)
    """Files that could not be collected."""

    def note_test(self, report: pytest.TestReport, error: BaseException | None, message: str) -> None:
        """Count a test that failed; without an exception it was expected to fail, strictly, and passed."""
        line = f"{report.nodeid}: {message}"
        if not report.failed or isinstance(error, Finding):
            return
        own = isinstance(error, AssertionError | Failed) and not isinstance(error, Unmeasured)
        (self.assertions if own or error is None else self.errors).append(line)

    @property
    def lines(self) -> list[str]:
        """All of them."""
        return [*self.collecting, *self.errors, *self.assertions]

    def code(self, found: ExitCode) -> ExitCode:
        """The exit code of a session whose run ended with `found`: worse before not measured before undecided."""
        if found is ExitCode.INTERRUPTED:
            return found
        if self.assertions or found is ExitCode.WORSE:
            return ExitCode.WORSE
        return ExitCode.MEASUREMENT if self.errors or self.collecting else found
