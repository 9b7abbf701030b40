"""The loss of a worker process: it crashed, hung, or uses another protocol."""

from harness.core.records.repetition import Outcome, OutcomeKind


class WorkerLost(Exception):  # noqa: N818 - it is what happened
    """A worker that crashed, hung or uses another protocol."""

    def __init__(self, kind: OutcomeKind, reason: str, stderr_tail: str = "") -> None:
        self.kind = kind
        self.reason = reason
        self.stderr_tail = stderr_tail
        super().__init__(reason)

    @property
    def outcome(self) -> Outcome:
        """The outcome of whatever the worker was doing."""
        return Outcome(kind=self.kind, reason=self.reason, stderr_tail=self.stderr_tail)
