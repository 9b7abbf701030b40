"""State that the handlers of `suites/locustfile.py` share within one Locust process."""

from typing import TYPE_CHECKING, Any

from gevent.event import Event
from gevent.threadpool import ThreadPool

from harness.core.clock import SystemClock
from harness.core.records.scenario import Arrivals, Scenario
from reports.terminal.console import make_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    import gevent

    from harness.measure.load.external_client import ExternalClient
    from harness.plan.config import Config
    from harness.runner.distributed_load import LoadCollector
    from harness.runner.resources import Resources
    from harness.store.runs import RunStore

ALONE = "this process"
"""The id of the only client without a master."""


class Session:
    """The role of a Locust process in a run: a load client, the collector of records, or both in a single process."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.client: ExternalClient | None = None
        self.collector: LoadCollector | None = None
        self.store: RunStore | None = None
        self.config: Config | None = None
        self.scenario: Scenario | None = None
        self.resources: Resources | None = None
        self.record_thread = ThreadPool(1)
        self.pending_records: list[Any] = []
        """Records that are being built and were not yet checked for failures: gevent's results."""
        self.timer: gevent.Greenlet | None = None
        self.reported = False
        """Whether this client has sent its last report."""
        self.began_ns = 0
        """When this client's load began, in ns on the clock. Valid once `begun` is set."""
        self.ends_ns = 0
        """No request starts after this time, in ns on the clock."""
        self.users = 0
        """The number of Locust users that this client has started."""
        self.begun = Event()
        self.user_starts_ns: Sequence[int] = ()
        """When each user of this client sends its first request, in ns after `began_ns`."""
        self.part = (0, 1)
        """(index of this client, number of clients), which selects its part of an open loop."""

    def reset(self) -> None:
        """Reset the state before another load in the same process."""
        self.begun, self.users, self.reported = Event(), 0, False

    def raise_failures(self, *, wait: bool) -> None:
        """Raise a failure of the record thread. With `wait`, wait for all records."""
        pending, self.pending_records = self.pending_records, []
        for each in pending:
            if wait or each.ready():
                each.get()
            else:
                self.pending_records.append(each)

    @property
    def is_open(self) -> bool:
        """Whether requests start on a schedule (open loop)."""
        traffic = self.scenario.traffic if self.scenario else None
        return traffic is not None and traffic.arrivals is not Arrivals.CLOSED


SESSION = Session()


def print_line(message: str) -> None:
    """Print to the terminal, which Locust also uses."""
    make_console().print(message, markup=False, soft_wrap=True)
