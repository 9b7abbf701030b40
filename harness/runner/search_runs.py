"""The runs of a search: measures its rounds, and finds those that an earlier process has stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.measure.conductor.budget import START_UP_SHARE
from harness.plan.config import Config, with_values
from harness.store.runs import open_store

LAUNCHES = 2
START_S = 3.0
"""About how long a worker takes to start and warm up with the real model on two cores."""
MANY_BLOCKS = 10_000
LOOKED_AT = 500
"""How many of the newest runs are searched for those of a search that was killed."""


class Stopped(Exception):  # noqa: N818 - it is an answer
    """A round was interrupted."""


def key_of(*parts: str) -> str:
    """Eight digits for what is searched: two searches with the same key may share their rounds."""
    return sha256("\n".join(parts).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRuns:
    """Measures and finds the runs of one search. `command` and `key` are in their selections, and so in the store.

    `resumed`: whether the stored runs of a search with this key that came to no end are its rounds.
    """

    config: Config
    command: str
    key: str = ""
    resumed: bool = False
    untried: tuple[tuple[str, str], ...] = ()
    """Candidates that could not be made, each with the reason: stored with each run."""
    report: Callable[[str], object] = str
    """Takes a line for the user before each run; by default it is dropped."""

    def selection(self, part: str) -> str:
        """What the store says of a run: `tune: round 1`, `optimise: round 1 of search 0a1b2c3d`."""
        return f"{self.command}: {part}" + (f" of search {self.key}" if self.key else "")

    def measure_round(self, scenarios: Sequence[Scenario], budget_s: float, number: int) -> RunData:
        """One round: every candidate and the base in the same blocks, in one launch where two take too long to start.

        Raises Stopped.
        """
        chosen = self.config.chosen
        starting_s = LAUNCHES * START_S * len(scenarios)
        launches = LAUNCHES if starting_s <= START_UP_SHARE * budget_s else 1
        limits = {"launches": chosen("launches", launches), "blocks": chosen("blocks", MANY_BLOCKS)}
        return self.measure(scenarios, part=f"round {number + 1}", values={"budget": budget_s, **limits})

    def measure(self, scenarios: Sequence[Scenario], *, part: str, values: dict[str, object]) -> RunData:
        """One run of a search, without a comparison with a baseline. `values` are of the configuration.

        Raises Stopped.
        """
        from harness.analysis.conclude import Conclusions, all_values, summarise_all
        from harness.analysis.stats.comparison import Policy
        from harness.core.errors import ExitCode
        from harness.runner.progress import measure_live
        from harness.runner.run_analysis import RunAnalysis, undecided

        arms = len({each.arm.id for each in scenarios})
        self.report(f"{part}: {arms} arms, {values['budget']:.0f} s")
        notes = tuple(f"not tried: {name}: {reason}" for name, reason in self.untried)
        analysis = RunAnalysis(
            conclude=lambda found: Conclusions(
                summaries=summarise_all(found.data, all_values(found)), verdicts=(), targets=(), notes=notes
            ),
            untried=self.untried,
            enough=undecided,
            policy=Policy(),
        )
        finished = measure_live(
            with_values(self.config, values), scenarios, selection=self.selection(part), analysis=analysis
        )
        if finished.code is ExitCode.INTERRUPTED:
            raise Stopped
        return finished.data

    def round_before(self, number: int) -> Sequence[RunData]:
        """The stored runs of a round of the search that is resumed."""
        return self.before(f"round {number + 1}", usable=lambda data: bool(data.blocks))

    def before(self, part: str, *, usable: Callable[[RunData], bool]) -> Sequence[RunData]:
        """The stored runs of a part of the search that is resumed, oldest first, as far as they are `usable`."""
        if not self.resumed:
            return ()
        wanted = self.selection(part)
        with open_store(self.config.results) as store:
            found = [store.load(run_id) for run_id, selection in self._since_last_end() if selection == wanted]
        return [data for data in reversed(found) if usable(data)]

    def unfinished(self) -> int:
        """How many runs of a search with this key are stored that came to no end."""
        return len(self._since_last_end())

    def _since_last_end(self) -> list[tuple[str, str]]:
        """Id and selection of the runs of this search after its last finished duel, newest first."""
        from harness.measure.system.machine import boot_id
        from harness.runner.resources import machine_key

        place = machine_key(self.config)
        ours, end = f" of search {self.key}", self.selection("duel")
        found = []
        with open_store(self.config.results) as store:
            store.mark_abandoned(machine_key=place, boot=boot_id())
            rows = store.list(machine_key=place, limit=LOOKED_AT)
            for row in sorted(rows, key=lambda row: row.touched_at, reverse=True):
                if row.selection == end and row.status.is_finished:
                    break
                if row.selection.endswith(ours):
                    found.append((row.id, row.selection))
        return found
