"""A finished run, as it is handed from the recorder to the analysis, the terminal and the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.errors import ExitCode
from harness.core.records.run import RunData
from harness.metrics.derive import RunValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run with its conclusions, the values that they were made from, and the exit code."""

    values: RunValues
    code: ExitCode
    replaced: Mapping[str, str] = field(default_factory=dict)
    """Id of a scenario as it was asked for → its id with the voice that was measured, where the two differ."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Id of a scenario that was asked for and could not be measured with this voices file → the reason."""

    @property
    def data(self) -> RunData:
        """What was observed and concluded."""
        return self.values.data
