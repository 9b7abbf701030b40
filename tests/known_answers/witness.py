"""What the mock server saw of a command, and what the command stored of it: read, paired and placed on one clock.

The server's log has the machine's monotonic clock; a load's stamps count from an intended start in seconds since the
epoch. How far the two are apart follows from causality alone: a request has come no earlier than it was sent, and audio
is heard no earlier than it was written. `Load.shift_ns` is the range that satisfies every request of a load. Where the
range is empty, a stored stamp contradicts what the server saw.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from statistics import median
from typing import Any

from harness.core.records.repetition import Block, Repetition
from harness.core.records.scenario import Scenario
from harness.plan.corpus import Corpus
from harness.plan.matrix import CONCURRENT_TEXTS

NS = 1_000_000_000
RATE = 24_000
ROUNDING_NS = 2_000
"""A start in seconds since the epoch is a float: its last digit is 0.24 µs, and sums of two are rounded twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write of the server: when, and the frames of audio that it had written by then, this write included."""

    at_ns: int
    body_bytes: int
    frames: int
    frames_by_now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request for speech as the server saw it; times in ns of the monotonic clock."""

    text: str
    connection: int
    now_open: int
    asked_ns: int
    turn_ns: int
    end_ns: int
    writes: tuple[Write, ...]
    status: int | None
    complete: bool
    gone_ns: int | None
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    cpu_ns: int

    @property
    def frames(self) -> int:
        """How much audio was written."""
        return self.writes[-1].frames_by_now if self.writes else 0

    @property
    def first_body_ns(self) -> int:
        """The first write that carried any of the body."""
        return next(each.at_ns for each in self.writes if each.body_bytes)

    @property
    def first_audio_ns(self) -> int:
        """The first write that carried audio."""
        return next(each.at_ns for each in self.writes if each.frames)

    @property
    def last_ns(self) -> int:
        """The last write, with which the answer is complete."""
        return self.writes[-1].at_ns

    def written_at(self, frames: int) -> int:
        """When so many frames of audio had been written."""
        return next(each.at_ns for each in self.writes if each.frames_by_now >= frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The server's log: answers in the order in which they were asked for."""

    answers: tuple[Seen, ...]
    connections: tuple[int, ...]
    others: tuple[Mapping[str, Any], ...]


def read_log(text: str) -> Log:
    """Read the lines of a `--log`."""
    lines = [json.loads(line) for line in text.splitlines()]
    answers = [_seen(line) for line in lines if line["kind"] == "answer"]
    return Log(
        answers=tuple(sorted(answers, key=lambda each: each.asked_ns)),
        connections=tuple(line["connection"] for line in lines if line["kind"] == "connection"),
        others=tuple(line for line in lines if line["kind"] == "other"),
    )


def _seen(line: Mapping[str, Any]) -> Seen:
    by_now = accumulate(line["sent_frames"])
    return Seen(
        writes=tuple(
            Write(at_ns=at_ns, body_bytes=size, frames=frames, frames_by_now=so_far)
            for at_ns, size, frames, so_far in zip(
                line["sent_ns"], line["sent_bytes"], line["sent_frames"], by_now, strict=True
            )
        ),
        now_open=line["open"],
        **{
            name: line[name]
            for name in (
                "text", "connection", "asked_ns", "turn_ns", "end_ns", "status", "complete", "gone_ns", "body",
                "headers", "cpu_ns",
            )
        },
    )  # fmt: skip


def most_open(answers: Iterable[Seen]) -> int:
    """How many requests were open at once, by the server's own times."""
    moments = [(each.asked_ns, 1) for each in answers] + [(each.end_ns, -1) for each in answers]
    # An end in the same nanosecond comes first: -1 sorts before 1.
    return max(accumulate(change for _, change in sorted(moments)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A stored repetition, and the request of the server's log that it is of."""

    repetition: Repetition
    seen: Seen

    @property
    def intended_ns(self) -> int:
        """Its intended start, on the client's clock."""
        return round(self.repetition.started_at * 1e9)

    @property
    def sent_ns(self) -> int:
        """When it was sent, on the client's clock."""
        return self.intended_ns + (self.repetition.lag_ns or 0)

    @property
    def end_ns(self) -> int:
        """When it had ended, on the client's clock."""
        return self.intended_ns + self.repetition.end_ns

    def deliveries_ns(self) -> list[int]:
        """For each piece of audio that was heard: its stamp less the write that completed it; clocks apart.

        A body that a script gives byte by byte is no audio to the server, whatever a client takes it for.
        """
        heard = accumulate(chunk.frames for chunk in self.repetition.chunks)
        return [
            self.intended_ns + chunk.at_ns - self.seen.written_at(frames)
            for chunk, frames in zip(self.repetition.chunks, heard, strict=True)
            if frames <= self.seen.frames
        ]

    @property
    def spread_s(self) -> float:
        """By how much one of the server's writes of audio was heard later than another, in seconds."""
        return spread_s(self.repetition, self.seen)

    def receptions_ns(self) -> list[int]:
        """`deliveries_ns`, and those of the first byte and of the end where the answer came whole."""
        found = self.deliveries_ns()
        if self.repetition.first_byte_ns is not None:
            found.append(self.intended_ns + self.repetition.first_byte_ns - self.seen.first_body_ns)
        if self.repetition.outcome.valid:
            found.append(self.end_ns - self.seen.last_ns)
        return found


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load: its scenario, its block, and its requests in the order in which the server was asked."""

    scenario: Scenario
    block: Block
    pairs: tuple[Pair, ...]

    @property
    def valid(self) -> list[Pair]:
        """Requests whose answers carry figures."""
        return [each for each in self.pairs if each.repetition.outcome.valid]

    @property
    def seen(self) -> list[Seen]:
        """What the server saw of the load."""
        return [each.seen for each in self.pairs]

    @cached_property
    def shift_ns(self) -> tuple[int, int]:
        """(lowest, highest) of what has to be added to the client's clock to have the server's."""
        earliest = max((-min(each.receptions_ns()) for each in self.pairs if each.receptions_ns()), default=None)
        latest = min(each.seen.asked_ns - each.sent_ns for each in self.pairs)
        assert earliest is not None
        assert earliest <= latest + ROUNDING_NS, (
            f"{self.scenario.id}: some stamp is {(earliest - latest) / 1e6:.3f} ms earlier than the server's write"
        )
        return min(earliest, latest), latest

    @cached_property
    def slack_ns(self) -> int:
        """The longest that anything was seen to take that should take no time: bounds how late a stamp may be.

        It is what the server waited longest for a request that had been sent, and what the client's own timer was
        late at most: both grow on a busy machine as the client's stamps do.
        """
        waits = [each.seen.asked_ns - each.sent_ns - self.shift_ns[1] for each in self.pairs]
        beats = [steps for steps, _ in self.block.load.timer_lag] if self.block.load else []
        return max(waits) + (1 + max(beats, default=0)) * 100_000

    def check_stamps(self) -> None:
        """No stamp is earlier than the server allows, and typically none is later than the client was slow."""
        lowest, _ = self.shift_ns
        late = [reception + lowest for each in self.pairs for reception in each.receptions_ns()]
        assert min(late) >= -ROUNDING_NS
        assert median(late) <= self.slack_ns

    def window_ns(self) -> tuple[int, int]:
        """The measured window on the client's clock."""
        start_ns = round(self.block.started_at * 1e9)
        return start_ns, start_ns + self.block.wall_ns


def spread_s(repetition: Repetition, seen: Seen) -> float:
    """By how much one of the server's writes of audio was heard later than another, in seconds.

    Whoever plays what was heard stops that much longer or shorter than whoever plays what was written. Two writes may
    be heard as one piece, and one as two.
    """
    heard = list(accumulate(chunk.frames for chunk in repetition.chunks))
    delays = [chunk.at_ns - seen.written_at(frames) for chunk, frames in zip(repetition.chunks, heard, strict=True)]
    for write in seen.writes:
        if write.frames:
            chunk = next(
                each for each, frames in zip(repetition.chunks, heard, strict=True) if frames >= write.frames_by_now
            )
            delays.append(chunk.at_ns - write.at_ns)
    return (max(delays) - min(delays) + ROUNDING_NS) / NS


def paired(scenario: Scenario, repetitions: Sequence[Repetition], answers: Sequence[Seen]) -> tuple[Pair, ...]:
    """Every repetition with its request, by its text; a text that came again is taken in the order of its requests."""
    texts = [each.text for each in Corpus().at_most(scenario.text_class, CONCURRENT_TEXTS)]
    by_text: dict[str, list[Seen]] = defaultdict(list)
    for each in answers:
        by_text[each.text].append(each)
    pairs = []
    for repetition in sorted(repetitions, key=lambda each: each.started_at + (each.lag_ns or 0) / NS):
        assert repetition.characters == len(texts[repetition.variant])
        pairs.append(Pair(repetition=repetition, seen=by_text[texts[repetition.variant]].pop(0)))
    left = [text for text, seen in by_text.items() if seen]
    assert not left, f"the server was asked for {left}, which the run does not have"
    return tuple(sorted(pairs, key=lambda each: each.seen.asked_ns))
