"""What the handlers of `suites/locustfile.py` share within one process of Locust."""

from typing import TYPE_CHECKING, Any

from gevent.event import Event
from gevent.threadpool import ThreadPool

from harness.core.clock import SystemClock
from harness.core.records.scenario import Arrivals, Scenario
from reports.terminal.output import make_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    import gevent

    from harness.measure.load.external_client import ExternalClient
    from harness.plan.config import Config
    from harness.runner.distributed_load import LoadCollector
    from harness.runner.resources import Resources
    from harness.store.runs import RunStore

ALONE = "this process"
"""The one client, where there is no master."""


class Session:
    """What one process of Locust is to the run: a client with a desk, the gatherer, or, alone, both."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.client: ExternalClient | None = None
        self.gathering: LoadCollector | None = None
        self.store: RunStore | None = None
        self.config: Config | None = None
        self.scenario: Scenario | None = None
        self.resources: Resources | None = None
        self.judges = ThreadPool(1)
        self.judging: list[Any] = []
        """What the judges have been given and nobody has looked after yet: gevent's results."""
        self.beating: gevent.Greenlet | None = None
        self.over = False
        """Whether this client has handed in its last report."""
        self.began_ns = 0
        """When this client's load began; it means something once `begun` is set."""
        self.ends_ns = 0
        """No request begins after this."""
        self.users = 0
        """Users of Locust's that this client has started."""
        self.begun = Event()
        self.user_starts_ns: Sequence[int] = ()
        """When each listener of this client sends its first request, in ns after `began_ns`."""
        self.part = (0, 1)
        """Which of how many clients this one is: what it takes of an open loop."""

    def start_anew(self) -> None:
        """Forget what one load leaves behind, before another in the same process."""
        self.begun, self.users, self.over = Event(), 0, False

    def look_after(self, *, wait: bool) -> None:
        """Raise what a judge has raised; with `wait`, once all have judged."""
        given, self.judging = self.judging, []
        for each in given:
            if wait or each.ready():
                each.get()
            else:
                self.judging.append(each)

    @property
    def is_open(self) -> bool:
        """Whether requests begin by a schedule, and not when a listener has been served."""
        traffic = self.scenario.traffic if self.scenario else None
        return traffic is not None and traffic.arrivals is not Arrivals.CLOSED


SESSION = Session()


def print_line(message: str) -> None:
    """Print to the terminal that Locust shares with us."""
    make_console().print(message, markup=False, soft_wrap=True)
