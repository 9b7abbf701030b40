"""A scheduled run: waits for the start signal on standard input, then runs the command in this process.

The scheduler records this process before it sends the signal. If the scheduler is killed in between, this process reads
the end of its input and exits. So each run is either recorded or never started, and nothing runs twice.
"""

import io
import sys
from typing import TYPE_CHECKING

from harness.schedule.launcher import GO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Log(io.FileIO):
    """A file that leaves out what a full disk refuses: a run must not end because its log has no space."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def main() -> None:
    """Wait, then run the command with this process's arguments."""
    if sys.stdin.readline() != GO:
        return
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.BufferedWriter(_Log(stream.fileno(), "wb", closefd=False)), "utf-8", line_buffering=True)
        for stream in (sys.stdout, sys.stderr)
    )
    from harness.cli import main as command

    command(sys.argv[1:])


if __name__ == "__main__":
    main()
