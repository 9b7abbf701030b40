"""What a listener hears of stamped chunks: arrivals in, playback figures out. Exact integer arithmetic up to the end.

A chunk without frames (a WAV header, an empty piece of body) is no audio and plays no part. Chunks are in the order of
their arrival. Times come in nanoseconds since the intended start and go out in seconds.
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
    """How often playback ran dry, and for how long in all."""

    seconds: float
    count: int


@dataclass(frozen=True, slots=True)
class Playback:
    """A player that starts `delay_s` after the first chunk, stops when it runs dry and resumes at the next chunk.

    `chunks` all hold frames; `starts` is when each begins to sound, in ticks of 1 / (10⁹ · sample rate) seconds, the
    unit in which both nanoseconds and frames are whole numbers.
    """

    chunks: tuple[ChunkMark, ...]
    sample_rate: int
    starts: tuple[int, ...]
    stalls: Stalls

    def played_at(self, frame: int) -> float | None:
        """When a frame, counted over all chunks, sounds: seconds since t0. None beyond the last frame."""
        first = 0
        for chunk, start in zip(self.chunks, self.starts, strict=True):
            if 0 <= frame - first < chunk.frames:
                return (start + (frame - first) * NS) / (NS * self.sample_rate)
            first += chunk.frames
        return None


def audible(chunks: Sequence[ChunkMark]) -> tuple[ChunkMark, ...]:
    """The chunks that carry audio."""
    return tuple([chunk for chunk in chunks if chunk.frames > 0])


def play(chunks: Sequence[ChunkMark], sample_rate: int, *, delay_s: float = 0.0) -> Playback:
    """Simulate the player. Each stop counts once, at the chunk that was waited for."""
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
    """D, from decoded frames alone."""
    return sum(chunk.frames for chunk in chunks) / sample_rate if sample_rate > 0 else 0.0


def ttfc(chunks: Sequence[ChunkMark]) -> Reading:
    """When the first chunk that holds audio had arrived."""
    carrying = audible(chunks)
    return known(carrying[0].at_ns / NS) if carrying else unknown(NO_AUDIO)


def ttfa(played: Playback, *, onset_frame: int | None, reason: str = "") -> Reading:
    """When the onset is heard, as it was played; `reason` says why `onset_frame` is None."""
    if onset_frame is None:
        return unknown(reason or "no onset was found")
    onset_at = played.played_at(onset_frame)
    return known(onset_at) if onset_at is not None else unknown("the onset lies beyond the audio that arrived")


def gaps(chunks: Sequence[ChunkMark]) -> tuple[float, ...]:
    """Seconds between arrivals of audio; none for a single chunk."""
    arrivals = [chunk.at_ns for chunk in audible(chunks)]
    return tuple((later - earlier) / NS for earlier, later in pairwise(arrivals))


def prebuffer(chunks: Sequence[ChunkMark], sample_rate: int) -> Reading:
    """max_k (a_k − a_1 − Σ_{j<k} d_j), at least 0: the shortest delay of playback with which nothing stalls.

    It equals the stalls' total in seconds: a player that waits at its stops and one that waits before it starts wait
    equally long in all (Lindley's recursion for a queue, unrolled). The two are computed apart, and the tests hold them
    against each other.
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
    """1 − ttfc / T, never below 0; unknown for one chunk, which does not stream."""
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
