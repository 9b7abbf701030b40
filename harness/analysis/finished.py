"""A finished run, as it is handed from the recorder to the analysis, the terminal and the report."""

from dataclasses import dataclass

from harness.core.errors import ExitCode
from harness.core.records.run import RunData
from harness.metrics.derive import RunValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run with its conclusions, the values that they were made from, and the exit code."""

    values: RunValues
    code: ExitCode

    @property
    def data(self) -> RunData:
        """What was observed and concluded."""
        return self.values.data
