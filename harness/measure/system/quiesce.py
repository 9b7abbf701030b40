"""Waiting until a process that has answered is at rest, so that what it does afterwards is nobody else's time.

ONNX Runtime's threads look for work for some time before they sleep: with its defaults one of them keeps a core busy
for 40 to 60 ms after the answer. On a machine whose cores all work at the next text, which another worker speaks, that
made the second of a block 3 to 4 % slower than the first.
"""

import os
from collections.abc import Callable

WINDOW_S = 0.01 if os.name == "posix" else 0.04
"""How long is looked at a time. Windows counts a process's time in ticks of 16 ms."""

TREE_WINDOW_S = 0.04
"""The same for a server's processes, whose time is counted in ticks of 10 ms everywhere."""

AT_REST = 0.25
"""CPUs that a process at rest may use: one tick of a tree's window; who spins takes a whole one."""

LONGEST_S = 0.5
"""A process that never rests is waited for no longer: it is always like that, and its neighbours' figures show it."""


def await_rest(
    used_ns: Callable[[], int | None],
    *,
    sleep: Callable[[float], None],
    window_s: float = WINDOW_S,
    longest_s: float = LONGEST_S,
) -> bool:
    """Wait, window by window, until the CPU time that `used_ns` gives (ns) hardly grows; whether it came to that.

    Where the time is not known, None, nothing can be waited for.
    """
    before = used_ns()
    for _ in range(round(longest_s / window_s)):
        if before is None:
            return False
        sleep(window_s)
        now = used_ns()
        if now is not None and now - before <= AT_REST * window_s * 1e9:
            return True
        before = now
    return False
