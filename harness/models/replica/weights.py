"""Seeded weights: every tensor is drawn from its own stream and has the same bits on every machine.

A tensor's values depend only on the seed and its name. Recipes with different graphs therefore share their weights,
and a new tensor changes no other. NumPy guarantees the raw integers of Philox, but not those of its distributions. The
operations on them are correctly rounded and elementwise, so a model's digest does not depend on the processor.
"""

import math
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float32]

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One initialiser. Its shape is known at once; its float32 values are made when the file is written."""

    name: str
    shape: Shape
    make: "Callable[[], Array]"

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The source of all random weights of one model."""

    seed: int

    def uniform(self, name: str, shape: Shape, deviation: float, *, mean: float = 0.0) -> "Array":
        """Values of the given mean and standard deviation, uniform within ±√3 deviations. None is denormal."""
        import numpy as np

        count = math.prod(shape)
        key = int.from_bytes(sha256(f"{self.seed}:{name}".encode()).digest()[:16], "little")
        words = np.random.Philox(key=key).random_raw((count + 1) // 2)
        bits = words.astype("<u8", copy=False).view("<u4")[:count]
        values = (bits >> np.uint32(8)).astype(np.float32)  # 24 bits, exact
        values *= np.float32(2.0**-23)
        values -= np.float32(1.0)
        values *= np.float32(math.sqrt(3.0) * deviation)
        if mean:
            values += np.float32(mean)
        return values.reshape(shape)
