"""Load generators: a closed loop of N users, and an open loop whose requests start on a schedule.

Every request is a `Repetition` whose stamps count from its *intended* start. So a server (or a client) that stalls is
charged for the wait of every request. The client's own lag is measured separately and shows whether the client kept up.
The window without warm-up and cool-down is selected afterwards (`harness.metrics.throughput.within`). Run these loops
on the event loop of `harness.core.event_loop`.
"""

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.core.records.repetition import ChunkMark
from harness.measure.load.client import LoadClient, LoadResult
from harness.measure.load.records import RequestTrace
from harness.metrics.playback import play

FAILURE_DELAY_S = 0.1
"""A user of a closed loop waits this long after a failure. A server that refuses at once would otherwise be flooded."""

PREPARED_REQUESTS = 4
"""Requests of an open loop that are built beforehand: as many as a random schedule starts at one time."""


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
    """Run `users` users. Each sends its next request when its answer is complete or, with `listen`, played to the end.

    Users start evenly over the first `stagger_s` seconds. No request starts after `seconds`. Requests that are open
    `longest_s` seconds after the load's beginning are unfinished. `connections` connections are opened beforehand.
    """

    async def run_user(user: int) -> None:
        next_ns = client.began_ns + round(stagger_s * user / users * 1e9)
        end_ns = client.began_ns + round(seconds * 1e9)
        while next_ns < end_ns:
            await client.sleep_until(next_ns)
            trace = await client.send(user=user, intended_ns=next_ns, ready_ns=next_ns)
            next_ns = next_start_ns(trace, listen=listen, sample_rate=client.sample_rate)

    with _until_cut_short():
        async with (
            client.working(prepared_requests=users, connections=connections, longest_s=longest_s),
            asyncio.TaskGroup() as group,
        ):
            for user in range(users):
                group.create_task(run_user(user))
    return client.result()


async def open_loop(
    client: LoadClient,
    *,
    starts_ns: Sequence[int],
    places: int = 0,
    connections: int = 0,
    longest_s: float = math.inf,
) -> LoadResult:
    """Start a request at each of `starts_ns`, regardless of earlier ones. `places` limits open requests; 0 does not.

    The wait for a place is part of the latency. `starts_ns` are in ascending order (`arrivals`). Requests that are open
    `longest_s` seconds after the load's beginning are unfinished. `connections` connections are opened beforehand.
    """
    free = asyncio.Semaphore(places or len(starts_ns) or 1)

    async def run_request(number: int, intended_ns: int) -> None:
        queued = free.locked()
        async with free:
            ready_ns = client.now_ns() if queued else intended_ns
            await client.send(user=number, intended_ns=intended_ns, ready_ns=ready_ns)

    with _until_cut_short():
        async with (
            client.working(
                prepared_requests=max(PREPARED_REQUESTS, connections), connections=connections, longest_s=longest_s
            ),
            asyncio.TaskGroup() as group,
        ):
            for number, start_ns in enumerate(starts_ns):
                intended_ns = client.began_ns + start_ns
                await client.sleep_until(intended_ns)
                group.create_task(run_request(number, intended_ns))
    return client.result()


@contextmanager
def _until_cut_short() -> Iterator[None]:
    """End the load early if SIGINT cancels the main task; complete requests are kept."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()


def next_start_ns(trace: RequestTrace, *, listen: bool, sample_rate: int) -> int:
    """The intended start of a user's next request in a closed loop, in ns on the clock.

    It is the end of this request, not the moment when the client noticed it. With `listen` it is the end of playback.
    After a failure it is `FAILURE_DELAY_S` later.
    """
    if not trace.outcome.valid:
        return trace.end_ns + round(FAILURE_DELAY_S * 1e9)
    return max(trace.end_ns, playback_end_ns(trace, sample_rate)) if listen else trace.end_ns


def playback_end_ns(trace: RequestTrace, sample_rate: int) -> int:
    """The end of playback without a pre-buffer, in ns on the clock."""
    marks = [ChunkMark(at_ns=chunk.at_ns - trace.intended_ns, frames=len(chunk.audio)) for chunk in trace.chunks]
    played = play(marks, sample_rate)
    if not played.chunks:
        return trace.end_ns
    ticks = played.starts[-1] + played.chunks[-1].frames * 1_000_000_000
    return trace.intended_ns + ticks // sample_rate
