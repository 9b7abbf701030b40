"""Whether the process that began a run is still running it."""

import os
from typing import Final

_CLOCK_SLACK_S: Final = 7_200.0
"""A process that began so much later than the run has inherited its number. Wide, because clocks are set."""

_OWN_SLACK_S: Final = 60.0


def process_alive(pid: int, started_at: float) -> bool:
    """Whether process `pid` runs here and can have begun a run at `started_at` (seconds since the epoch).

    In doubt it is alive: a run wrongly shown as running is a nuisance, one wrongly ended is a loss.
    """
    import psutil

    if pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        began_at = process.create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    # In containers every command has the same small number: ours may be the one that the killed run had.
    slack = _OWN_SLACK_S if pid == os.getpid() else _CLOCK_SLACK_S
    return began_at <= started_at + slack
