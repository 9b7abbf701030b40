"""Counters of the mock server."""

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
