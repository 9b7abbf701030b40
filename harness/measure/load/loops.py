"""Many listeners at once: a closed loop of N, or an open loop whose requests start when their schedule says.

Every request is a `Repetition` whose stamps count from its *intended* start, so that a server (or a client) that stands
still is charged for everybody who had to wait. That the client kept up is shown by its own lag, measured beside it. The
window without warm-up and cool-down is taken afterwards (`harness.metrics.throughput.steady`). Run it on
the fine loop of `harness.core.event_loop`.
"""

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.core.records.repetition import ChunkMark
from harness.measure.load.client import LoadClient, LoadResult
from harness.measure.load.records import RequestTrace
from harness.metrics.playback import play

FAILURE_PAUSE_S = 0.1
"""After a failure a listener of a closed loop waits so long: what refuses at once would otherwise be hammered."""

AT_ONCE = 4
"""Requests of an open loop that are prepared: as many as a random schedule brings in one moment."""


async def closed_loop(
    client: LoadClient,
    *,
    users: int,
    seconds: float,
    stagger_s: float = 0.0,
    listen: bool = False,
    connections: int = 0,
    longest_s: float = math.inf,
) -> LoadResult:
    """`users` who ask again as soon as they are served or, with `listen`, have heard it to the end.

    They come evenly over the first `stagger_s` seconds. No request begins after `seconds`; those in progress are waited
    for until `longest_s` seconds after the load's beginning, and are unfinished then. So many `connections` are made
    beforehand.
    """

    async def attend(user: int) -> None:
        next_ns = client.began_ns + round(stagger_s * user / users * 1e9)
        end_ns = client.began_ns + round(seconds * 1e9)
        while next_ns < end_ns:
            await client.sleep_until(next_ns)
            trace = await client.ask(user=user, intended_ns=next_ns, ready_ns=next_ns)
            next_ns = next_start_ns(trace, listen=listen, sample_rate=client.sample_rate)

    with _until_cut_short():
        async with (
            client.working(at_once=users, connections=connections, longest_s=longest_s),
            asyncio.TaskGroup() as group,
        ):
            for user in range(users):
                group.create_task(attend(user))
    return client.result()


async def open_loop(
    client: LoadClient,
    *,
    starts_ns: Sequence[int],
    places: int = 0,
    connections: int = 0,
    longest_s: float = math.inf,
) -> LoadResult:
    """A request at each of `starts_ns`, whatever became of those before; `places` bounds how many are open, 0 does not.

    A request that waits for a place waits in its own latency. `starts_ns` are in ascending order (`arrivals`). Answers
    that are not complete `longest_s` seconds after the load's beginning are unfinished. So many `connections` are made
    beforehand.
    """
    free = asyncio.Semaphore(places or len(starts_ns) or 1)

    async def attend(number: int, intended_ns: int) -> None:
        queued = free.locked()
        async with free:
            ready_ns = client.now_ns() if queued else intended_ns
            await client.ask(user=number, intended_ns=intended_ns, ready_ns=ready_ns)

    with _until_cut_short():
        async with (
            client.working(at_once=max(AT_ONCE, connections), connections=connections, longest_s=longest_s),
            asyncio.TaskGroup() as group,
        ):
            for number, start_ns in enumerate(starts_ns):
                intended_ns = client.began_ns + start_ns
                await client.sleep_until(intended_ns)
                group.create_task(attend(number, intended_ns))
    return client.result()


@contextmanager
def _until_cut_short() -> Iterator[None]:
    """Whoever is asked to end (SIGINT cancels the main task) has measured what was complete by then."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()


def next_start_ns(trace: RequestTrace, *, listen: bool, sample_rate: int) -> int:
    """When the next request of a closed loop is meant to begin, in ns on the clock: when this one was over, not when
    the client had noticed; with `listen` when it has been heard to its end; later where it failed.
    """  # noqa: D205 - one sentence
    if not trace.outcome.valid:
        return trace.end_ns + round(FAILURE_PAUSE_S * 1e9)
    return max(trace.end_ns, playback_end_ns(trace, sample_rate)) if listen else trace.end_ns


def playback_end_ns(trace: RequestTrace, sample_rate: int) -> int:
    """When a listener without a pre-buffer has heard all of it, in ns on the clock."""
    marks = [ChunkMark(at_ns=heard.at_ns - trace.intended_ns, frames=len(heard.audio)) for heard in trace.heard]
    played = play(marks, sample_rate)
    if not played.chunks:
        return trace.end_ns
    ticks = played.starts[-1] + played.chunks[-1].frames * 1_000_000_000
    return trace.intended_ns + ticks // sample_rate
