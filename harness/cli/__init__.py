"""The command `kokoro-bench`. `main` answers signals before it imports anything."""

import os
import signal

TYPE_CHECKING = False
"""Type checkers take it for true. The import of `typing`, which has the usual one, would come before `main`."""
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def main(arguments: list[str] | None = None) -> "NoReturn":
    """Run the command and exit with its code. No exception leaves it as a traceback.

    The imports take a tenth of a second, in which Ctrl-C and SIGTERM end the process at once.
    """
    usual = ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL))
    for number, handler in usual:
        if signal.getsignal(number) is handler:
            try:
                signal.signal(number, end_at_once)
            except ValueError:  # not in the main thread, which is none of a command
                break
    from harness.cli.command import run

    run(arguments)


def end_at_once(_number: int, _frame: "FrameType | None") -> "NoReturn":
    """End the process as the command ends for a signal: nothing has begun that would have to be put in order."""
    try:
        os.write(2, b"kokoro-bench: interrupted\n")
    finally:
        os._exit(130)
