"""What Ctrl-C and SIGTERM do while the command is imported, and when it has ended.

It imports only what Python has imported anyway.
"""

import os
import signal
import sys

TYPE_CHECKING = False
"""Type checkers take it for true. The import of `typing`, which has the usual one, takes time of its own."""
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def answer_signals() -> None:
    """Have Ctrl-C and SIGTERM end the process at once, unless something else has its own answer to them."""
    usual = ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL))
    for number, handler in usual:
        if signal.getsignal(number) is handler:
            try:
                signal.signal(number, end_at_once)
            except ValueError:  # not in the main thread, which is none of a command
                break


def answer_late_signals() -> None:
    """The same when the command has ended: what is left is Python's own end, which a signal would fill with tracebacks.

    What has been printed is written first. Only for a process that ends now.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end_late)
        except ValueError:  # not in the main thread
            break


def _end_late(number: int, frame: "FrameType | None") -> "NoReturn":
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, RuntimeError, ValueError):  # closed, or interrupted in a flush of its own
            continue
    end_at_once(number, frame)


def end_at_once(_number: int, _frame: "FrameType | None") -> "NoReturn":
    """End the process as the command ends for a signal: nothing has begun that would have to be put in order."""
    try:
        os.write(2, b"kokoro-bench: interrupted\n")
    finally:
        os._exit(130)
