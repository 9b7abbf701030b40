"""A run of the schedule: waits for the word to go, and is then the command itself.

The scheduler notes this process before it says go. One that is killed in between leaves a child that reads the end of
its input and goes home: so a run has either been noted, or has not begun, and nothing runs twice.
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
