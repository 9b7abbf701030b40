"""The time of a repetition in each stage, from its stage marks. The times add up to its latency."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.core.records.repetition import StageMark

PHONEMISE, INFERENCE, POSTPROCESS = "phonemise", "inference", "postprocess"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Nanoseconds in each stage. They add up to the repetition's latency, exactly."""

    phonemise: int
    inference: int
    postprocess: int
    rest: int

    @property
    def total(self) -> int:
        """The latency."""
        return self.phonemise + self.inference + self.postprocess + self.rest

    def shares(self) -> dict[str, float]:
        """Stage → its part of the total, which must not be 0. The last is the remainder, so that they add up to 1."""
        named = {
            PHONEMISE: self.phonemise / self.total,
            INFERENCE: self.inference / self.total,
            POSTPROCESS: self.postprocess / self.total,
        }
        return {**named, "rest": max(0.0, 1.0 - sum(named.values()))}


def stage_times(marks: Sequence[StageMark], *, last_chunk_ns: int, total_ns: int) -> StageTimes | str:
    """The time in each stage, or why it is unknown.

    Engines around ONNX Runtime mark phonemising and each session.run, but not the trimming and joining in between. So
    without a mark "postprocess", it is the time from the end of each run to the next mark, or to the last chunk if no
    mark follows. All other time is the rest.
    """
    if not any(mark.stage in (PHONEMISE, INFERENCE, POSTPROCESS) for mark in marks):
        # The client of a server marks only connecting, which is no stage of the server.
        return "the engine marks no stages"
    ordered = sorted(marks, key=lambda mark: (mark.start_ns, mark.end_ns))
    if any(later.start_ns < earlier.end_ns for earlier, later in pairwise(ordered)):
        return "stages overlap, as parallel sessions do, so they have no shares of the time"
    if ordered[0].start_ns < 0 or ordered[-1].end_ns > total_ns:
        return "stages reach beyond the repetition"
    if total_ns <= 0:
        return "it took no time"
    spent = {stage: _sum(ordered, stage) for stage in (PHONEMISE, INFERENCE, POSTPROCESS)}
    if not any(mark.stage == POSTPROCESS for mark in ordered):
        spent[POSTPROCESS] = _between(ordered, last_chunk_ns=last_chunk_ns)
    return StageTimes(
        phonemise=spent[PHONEMISE],
        inference=spent[INFERENCE],
        postprocess=spent[POSTPROCESS],
        rest=total_ns - sum(spent.values()),
    )


def inference_ns(marks: Sequence[StageMark]) -> int | None:
    """The sum of the times of all session.run, also of parallel ones; None if none is marked."""
    runs = [mark for mark in marks if mark.stage == INFERENCE]
    return _sum(runs, INFERENCE) if runs else None


def _sum(marks: Sequence[StageMark], stage: str) -> int:
    return sum(mark.end_ns - mark.start_ns for mark in marks if mark.stage == stage)


def _between(ordered: Sequence[StageMark], *, last_chunk_ns: int) -> int:
    spent = sum(later.start_ns - earlier.end_ns for earlier, later in pairwise(ordered) if earlier.stage == INFERENCE)
    if ordered[-1].stage == INFERENCE:
        spent += max(0, last_chunk_ns - ordered[-1].end_ns)
    return spent
