"""Playback metrics from the arrival times of chunks. The arithmetic is in exact integers up to the last step.

A chunk without frames (a WAV header, an empty part of the body) is ignored. Chunks are in order of arrival. Input times
are nanoseconds since the intended start; results are in seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.core.records.repetition import ChunkMark
from harness.core.records.value import Reading, known, unknown

NS = 1_000_000_000
NOT_STREAMING = "not streaming: all audio came in one chunk"
NO_AUDIO = "there is no audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """How often playback ran out of audio, and for how many seconds in total."""

    seconds: float
    count: int


@dataclass(frozen=True, slots=True)
class Playback:
    """A player that starts `delay_s` after the first chunk, stops without audio and resumes at the next chunk.

    Each of `chunks` holds frames. `starts` are the times at which playback of each chunk begins, in ticks of
    1 / (10⁹ · sample rate) seconds: both nanoseconds and frames are whole numbers of ticks.
    """

    chunks: tuple[ChunkMark, ...]
    sample_rate: int
    starts: tuple[int, ...]
    stalls: Stalls

    def played_at(self, frame: int) -> float | None:
        """When the player plays a frame (counted over all chunks), in seconds since t0. None after the last frame."""
        first = 0
        for chunk, start in zip(self.chunks, self.starts, strict=True):
            if 0 <= frame - first < chunk.frames:
                return (start + (frame - first) * NS) / (NS * self.sample_rate)
            first += chunk.frames
        return None


def audible(chunks: Sequence[ChunkMark]) -> tuple[ChunkMark, ...]:
    """The chunks that hold audio."""
    return tuple([chunk for chunk in chunks if chunk.frames > 0])


def play(chunks: Sequence[ChunkMark], sample_rate: int, *, delay_s: float = 0.0) -> Playback:
    """Simulate the player. Each stop counts once, at the chunk that the player waited for."""
    carrying = audible(chunks)
    starts: list[int] = []
    dry_at = stalled = stops = 0
    for chunk in carrying:
        arrival = chunk.at_ns * sample_rate
        if not starts:
            start = arrival + round(delay_s * NS * sample_rate)
        else:
            start = max(arrival, dry_at)
            stalled += start - dry_at
            stops += start > dry_at
        starts.append(start)
        dry_at = start + chunk.frames * NS
    stalls = Stalls(seconds=_seconds(stalled, sample_rate), count=stops)
    return Playback(chunks=carrying, sample_rate=sample_rate, starts=tuple(starts), stalls=stalls)


def audio_seconds(chunks: Sequence[ChunkMark], sample_rate: int) -> float:
    """D in seconds, from decoded frames."""
    return sum(chunk.frames for chunk in chunks) / sample_rate if sample_rate > 0 else 0.0


def ttfc(chunks: Sequence[ChunkMark]) -> Reading:
    """When the first chunk that holds audio arrived, in seconds since t0."""
    carrying = audible(chunks)
    return known(carrying[0].at_ns / NS) if carrying else unknown(NO_AUDIO)


def ttfa(played: Playback, *, onset_frame: int | None, reason: str = "") -> Reading:
    """When the player plays the onset, in seconds since t0; `reason` says why `onset_frame` is None."""
    if onset_frame is None:
        return unknown(reason or "no onset was found")
    onset_at = played.played_at(onset_frame)
    return known(onset_at) if onset_at is not None else unknown("the onset lies beyond the audio that arrived")


def gaps(chunks: Sequence[ChunkMark]) -> tuple[float, ...]:
    """Seconds between arrivals of audio chunks; empty for a single chunk."""
    arrivals = [chunk.at_ns for chunk in audible(chunks)]
    return tuple((later - earlier) / NS for earlier, later in pairwise(arrivals))


def prebuffer(chunks: Sequence[ChunkMark], sample_rate: int) -> Reading:
    """max_k (a_k − a_1 − Σ_{j<k} d_j), at least 0: the shortest delay of playback without stalls.

    It equals the total of the stalls: a player that waits at its stops and one that waits before its start wait equally
    long (Lindley's recursion for a queue, unrolled). They are computed independently, and a test compares them.
    """
    carrying = audible(chunks)
    if not carrying:
        return unknown(NO_AUDIO)
    needed = played = 0
    for chunk in carrying:
        needed = max(needed, (chunk.at_ns - carrying[0].at_ns) * sample_rate - played * NS)
        played += chunk.frames
    return known(_seconds(needed, sample_rate))


def streaming_efficiency(played: Playback) -> Reading:
    """D / (D + stall)."""
    if not played.chunks:
        return unknown(NO_AUDIO)
    seconds = audio_seconds(played.chunks, played.sample_rate)
    return known(seconds / (seconds + played.stalls.seconds))


def overlap(chunks: Sequence[ChunkMark], *, total_s: float) -> Reading:
    """1 − ttfc / T, never below 0; unknown for a single chunk, which does not stream."""
    carrying = audible(chunks)
    if not carrying:
        return unknown(NO_AUDIO)
    if len(carrying) == 1:
        return unknown(NOT_STREAMING)
    return known(1 - carrying[0].at_ns / NS / total_s) if total_s > 0 else unknown("it took no time")


def delivery_speed(chunks: Sequence[ChunkMark], sample_rate: int, *, total_s: float) -> Reading:
    """D / T."""
    if not audible(chunks):
        return unknown(NO_AUDIO)
    return known(audio_seconds(chunks, sample_rate) / total_s) if total_s > 0 else unknown("it took no time")


def _seconds(ticks: int, sample_rate: int) -> float:
    return ticks / (NS * sample_rate) if sample_rate > 0 else 0.0
