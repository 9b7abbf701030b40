"""What a session of the pool synthesises."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRequest:
    """One segment to synthesise; `style` is float32 [510, 1, 256]."""

    phonemes: str
    style: "NDArray[np.float32]"
    speed: float

    @property
    def load(self) -> float:
        """Phonemes / speed, to which the length of the audio and the work are about proportional."""
        return len(self.phonemes) / self.speed
