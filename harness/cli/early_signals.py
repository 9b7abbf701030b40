"""What Ctrl-C and SIGTERM do while the command is imported. It imports only what Python has imported anyway."""

import os
import signal

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


def end_at_once(_number: int, _frame: "FrameType | None") -> "NoReturn":
    """End the process as the command ends for a signal: nothing has begun that would have to be put in order."""
    try:
        os.write(2, b"kokoro-bench: interrupted\n")
    finally:
        os._exit(130)
