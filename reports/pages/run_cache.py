"""A cache of runs for pages, without the user's folders. Each run is read, and its values derived, once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.core.records.run import RunData, RunOutline, RunRecord
from harness.core.redaction import published, published_head
from harness.metrics.derive import RunValues
from harness.store.runs import RunStore
from reports.text.naming import names_of

if TYPE_CHECKING:
    from reports.charts.distributions import Distributions


class Runs:
    """The runs of a store, without the user's folders. Their values are derived once, except those of `once`."""

    def __init__(self, store: RunStore, *, derived: RunValues | None = None) -> None:
        """`derived` are the values of a run that has just ended. That run is not read from the store."""
        self.store = store
        self.derived = derived
        self._values: dict[str, RunValues] = {}
        if derived is not None:
            self._values[derived.data.run.id] = derived.for_data(published(derived.data))
        self._distributions: dict[str, Distributions] = {}

    def of(self, run_id: str) -> RunData:
        """A run with all its observations."""
        return self.values(run_id).data

    def values(self, run_id: str) -> RunValues:
        if run_id not in self._values:
            self._values[run_id] = RunValues(published(self.store.load(run_id)))
        return self._values[run_id]

    def once(self, run_id: str) -> RunValues:
        """The values of a run that is needed only once: they are not added to the cache."""
        return self._values.get(run_id) or RunValues(published(self.store.load(run_id)))

    def head(self, run_id: str) -> RunRecord:
        return published_head(self.store.head(run_id))

    def outlines(self, run_ids: Sequence[str]) -> tuple[RunOutline, ...]:
        """The outlines of old runs for their short pages, in the order of `run_ids`."""
        return tuple(map(published, self.store.outlines(run_ids)))

    def of_several_arms(self, run_id: str) -> bool:
        run = self.of(run_id).run if run_id in self._values else self.head(run_id)
        return len({each.arm for each in run.scenarios}) > 1

    def distributions(self, run_id: str) -> "Distributions":
        """The repetitions of a run for charts of their distribution."""
        if run_id not in self._distributions:
            from reports.charts.distributions import Distributions
            from reports.views.view import implied

            data = self.of(run_id)
            drawn = Distributions(self.values(run_id), names_of(data), reference=implied(data))
            self._distributions[run_id] = drawn
        return self._distributions[run_id]
