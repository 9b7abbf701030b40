"""Retry of transactions while a database is unavailable: a full disk is cleared, a lock ends, a server comes back."""

from collections.abc import Callable
from typing import TypeVar

from harness.core.clock import Clock
from harness.store.errors import AwayError

Result = TypeVar("Result")

WAIT_S = 90.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


def with_retries(
    action: Callable[[], Result], *, clock: Clock, report: Callable[[str], None], wait_s: float = WAIT_S
) -> Result:
    """Run `action`. While the database is unavailable, retry for up to `wait_s` seconds, then raise the last error.

    `action` is one transaction: what failed did not happen.
    """
    until_ns = clock.now_ns() + round(wait_s * 1e9)
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return action()
        except AwayError as error:
            left_s = (until_ns - clock.now_ns()) / 1e9
            if left_s <= 0:
                raise
            if pause_s == FIRST_PAUSE_S:
                report(f"{error.where}: {error.what}; trying again for {wait_s:g} s")
            clock.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
