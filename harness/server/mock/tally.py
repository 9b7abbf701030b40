"""The mock server's counters, and what its answers cost: CPU time and memory."""

import hashlib
import mmap
from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counters that `/status` reports. `late_ms` is how late each chunk was sent."""

    requests: int = 0
    active: int = 0
    late_ms: deque[float] = field(default_factory=lambda: deque(maxlen=100_000))
    first_text: str = ""

    def lateness(self) -> dict[str, float | None]:
        """Quantiles, in ms; None while nothing has been sent."""
        import numpy as np

        if not self.late_ms:
            return {"p50": None, "p99": None, "max": None}
        values = np.quantile(np.asarray(self.late_ms), [0.5, 0.99, 1.0])
        return dict(zip(("p50", "p99", "max"), map(float, values.round(3)), strict=True))


ROUND = bytes(1 << 20)
"""What one round digests: about 1 ms."""


def work(rounds: int) -> None:
    """Work for that many rounds of equal size. It reads no clock."""
    for _ in range(rounds):
        hashlib.sha256(ROUND)


def resident(size: int) -> mmap.mmap:
    """Map `size` bytes of new memory and make them resident.

    The allocator might answer from memory that was freed before and is still resident; then the process would not grow.
    Raises ValueError for a size that is not positive, and OSError if there is no memory.
    """
    memory = mmap.mmap(-1, size)
    # Untouched pages are not resident.
    for start in range(0, size, mmap.PAGESIZE):
        memory[start] = 1
    return memory
