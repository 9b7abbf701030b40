"""Sample-rate conversion."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def resampled(audio: "NDArray[np.floating]", from_rate: int, to_rate: int) -> "NDArray[np.floating]":
    """Mono audio, shape (frames,), at another sample rate (Hz), by polyphase filtering; unchanged at the same rate."""
    if from_rate == to_rate:
        return audio
    import numpy as np
    from scipy.signal import resample_poly

    divisor = math.gcd(from_rate, to_rate)
    return np.asarray(resample_poly(audio, to_rate // divisor, from_rate // divisor))
