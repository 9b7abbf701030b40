"""Waits until a process is idle after its answer, so that it does not slow down the next worker.

ONNX Runtime's thread pool spins before its threads sleep: with its defaults one thread keeps a core busy for 40 to
60 ms after a request. If the next worker uses all cores, that made the second synthesis of a block 3 to 4 % slower than
the first.
"""

import os
from collections.abc import Callable

WINDOW_S = 0.01 if os.name == "posix" else 0.04
"""Seconds per observation window. Windows counts CPU time in ticks of 16 ms."""

TREE_WINDOW_S = 0.04
"""The same for a server's processes, whose CPU time is counted in ticks of 10 ms on every system."""

IDLE_CPUS = 0.25
"""CPUs that an idle process may use: one tick of a tree's window. A spinning thread uses a whole CPU."""

LONGEST_S = 0.5
"""The longest wait. A process that is never idle disturbs its neighbours in any case, and their values show it."""


def await_idle(
    used_ns: Callable[[], int | None],
    *,
    sleep: Callable[[float], None],
    window_s: float = WINDOW_S,
    longest_s: float = LONGEST_S,
) -> bool:
    """Wait until the CPU time `used_ns` (ns) hardly grows within a window. Return whether that happened.

    Return False at once if the CPU time is unknown (None).
    """
    before = used_ns()
    for _ in range(round(longest_s / window_s)):
        if before is None:
            return False
        sleep(window_s)
        now = used_ns()
        if now is not None and now - before <= IDLE_CPUS * window_s * 1e9:
            return True
        before = now
    return False
