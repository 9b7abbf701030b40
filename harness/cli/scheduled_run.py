"""A scheduled run: waits for the start signal on standard input, then runs the command in this process.

The scheduler records this process before it sends the signal. If the scheduler is killed in between, this process reads
the end of its input and exits. So each run is either recorded or never started, and nothing runs twice.
"""

import sys

from harness.schedule.launcher import GO


def main() -> None:
    """Wait, then run the command with this process's arguments."""
    if sys.stdin.readline() != GO:
        return
    from harness.cli import main as command

    command(sys.argv[1:])


if __name__ == "__main__":
    main()
