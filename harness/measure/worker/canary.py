"""Two fixed workloads that measure how fast the machine is, independent of the engine under test.

The NumPy kernel is bound by arithmetic and cache, the ONNX graph by the convolutions that carry most of Kokoro's time.
Both run on one thread. The reading is the median of a few rounds, so that one disturbance does not count.
"""

from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.core.clock import Clock
from harness.core.records.repetition import Canary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANNELS = 96
FRAMES = 2_000
KERNEL = 7


def read(*, rounds: int, clock: Clock) -> Canary:
    """Run both workloads `rounds` times and take the median of each."""
    numpy_ns = [_timed(_numpy_kernel, clock) for _ in range(rounds)]
    try:
        session, feed = _graph()
    except ImportError as error:
        return Canary(numpy_ns=round(median(numpy_ns)), graph_ns=None, reason=f"not installed: {error.name}")
    graph_ns = [_timed(lambda: session.run(None, feed), clock) for _ in range(rounds)]
    return Canary(numpy_ns=round(median(numpy_ns)), graph_ns=round(median(graph_ns)))


def _timed(work: Any, clock: Clock) -> int:  # noqa: ANN401 - any callable
    start = clock.now_ns()
    work()
    return clock.now_ns() - start


def _numpy_kernel() -> float:
    """Elementwise work on 400,000 numbers: no BLAS, whose thread count is not ours to set."""
    import numpy as np

    x: NDArray[np.float64] = np.linspace(0.0, 40.0, 400_000)
    return float(np.sqrt(np.sin(x) ** 2 + np.cos(x) ** 2).sum())


@lru_cache(maxsize=1)
def _graph() -> tuple[Any, dict[str, "NDArray[np.float32]"]]:
    """Two dilated convolutions with a sine between them, as in Kokoro's residual blocks."""
    import numpy as np
    import onnxruntime as ort

    from harness.measure.worker.canary_graph import canary_model

    generator = np.random.Generator(np.random.PCG64(0))
    scale = 1.0 / np.sqrt(CHANNELS * KERNEL)
    weights = [
        (generator.standard_normal((CHANNELS, CHANNELS, KERNEL)) * scale).astype(np.float32) for _number in range(2)
    ]
    shape = (1, CHANNELS, FRAMES)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(canary_model(shape, weights), options, providers=["CPUExecutionProvider"])
    return session, {"x": generator.standard_normal(shape).astype(np.float32)}
