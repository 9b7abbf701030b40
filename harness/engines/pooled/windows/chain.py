"""The windows of a segment as jobs of a pool: each is submitted when the one before it is done."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.engines.pooled.splitter import PHONEMES_PER_S
from harness.engines.pooled.windows.plan import FRAMES_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from harness.engines.pooled.segment_request import SegmentRequest
    from harness.engines.pooled.windows.session import Progress

FEATURES_SHARE = 0.1
"""The first half's share of the work of a segment."""
PHONEMES_PER_FRAME = PHONEMES_PER_S / FRAMES_PER_S


@dataclass(slots=True, kw_only=True)
class WindowOrder:
    """The next window of a segment: the first one without `at`. The session that has made it sets `rest`."""

    segment: "SegmentRequest"
    at: "Progress | None" = None
    rest: "Progress | None" = None

    @property
    def load(self) -> float:
        """About the work, in phonemes of a segment that is synthesised whole; a first window is taken for a second."""
        if self.at is None:
            return FEATURES_SHARE * self.segment.load + PHONEMES_PER_S
        return PHONEMES_PER_FRAME * (self.at.ends[0] - self.at.start)


class WindowChain:
    """The windows of one segment. `whole` is all their audio; cancelling it ends the chain."""

    def __init__(
        self, submit: "Callable[[WindowOrder], Future[NDArray[np.float32]]]", segment: "SegmentRequest"
    ) -> None:
        self.whole: Future[NDArray[np.float32]] = Future()
        self._submit = submit
        self._done: list[NDArray[np.float32]] = []
        self._parts: list[Future[NDArray[np.float32]]] = []
        self._work: Future[NDArray[np.float32]] | None = None
        self._next(WindowOrder(segment=segment))
        self.whole.add_done_callback(lambda whole: self._cancel() if whole.cancelled() else None)

    def parts(self) -> "Iterator[Future[NDArray[np.float32]]]":
        """The audio of each window; wait for one before the next. One that has failed or is cancelled is the last."""
        yield from self._parts  # the list grows while it is read

    def _next(self, order: WindowOrder) -> None:
        part: Future[NDArray[np.float32]] = Future()
        self._parts.append(part)
        self._work = self._submit(order)
        self._work.add_done_callback(lambda work: self._take(order, part, work))

    def _take(
        self, order: WindowOrder, part: "Future[NDArray[np.float32]]", work: "Future[NDArray[np.float32]]"
    ) -> None:
        """Submit the next window before this one is seen: whoever waits for it then finds the next."""
        if work.cancelled():
            part.cancel()
            self.whole.cancel()
            return
        if failure := work.exception():
            for future in (part, self.whole):
                if future.set_running_or_notify_cancel():
                    future.set_exception(failure)
            return
        self._done.append(work.result())
        if order.rest is not None and not self.whole.cancelled():
            self._next(WindowOrder(segment=order.segment, at=order.rest))
        elif self.whole.set_running_or_notify_cancel():
            import numpy as np

            audio = np.concatenate(self._done)
            audio.flags.writeable = False  # the cache may hold it
            self.whole.set_result(audio)
        if part.set_running_or_notify_cancel():
            part.set_result(work.result())

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()
