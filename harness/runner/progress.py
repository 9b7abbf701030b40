"""Progress on a terminal: a bar with the remaining time, or one line per launch and block in a log."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from harness.measure.conductor import events
from harness.measure.conductor.memory_groups import describe_groups
from harness.plan.config import Config
from reports.terminal.console import make_console, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.finished import Finished
    from harness.core.records.scenario import Scenario
    from harness.runner.run_analysis import Conduct, RunAnalysis

BAR_WIDTH = 24


class LiveConsole:
    """An event handler: on a terminal a progress bar with the remaining time, elsewhere one line per event."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or make_console()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            BarColumn(bar_width=BAR_WIDTH),
            TaskProgressColumn(),
            TextColumn("{task.fields[remaining]}", table_column=Column(justify="right", no_wrap=True)),
            console=self._console,
            transient=True,
            expand=True,
            # Each refresh takes CPU time from the measured engine.
            refresh_per_second=1,
            auto_refresh=False,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=1.0, remaining="")
        self._stage = ""
        self._left = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def report(self, message: str) -> None:
        """Print a message about a preparation."""
        tell(self._console, message, "dim")

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Progress):
            self._left = _left(event)
            self._progress.update(self._task, description=event.doing, completed=event.share, remaining=self._left)
            self._progress.refresh()
        elif isinstance(event, events.Grouped):
            tell(self._console, f"launch {event.launch + 1}: {describe_groups([event])}", "dim")
        elif isinstance(event, events.ScenarioLost):
            tell(self._console, f"lost: {event.scenario_id}: {event.outcome.reason}", "yellow")
        elif not self._console.is_terminal:
            self._plain(event)

    def _plain(self, event: events.Event) -> None:
        """Print a line for each stage and block, for logs that cannot show a bar."""
        if isinstance(event, events.Launched):
            stage = "start-ups" if event.launch.dedicated else f"launch {event.launch.launch + 1}"
            if stage != self._stage:
                self._stage = stage
                self._console.print(f"{stage}: measuring")
        elif isinstance(event, events.BlockDone):
            valid = sum(repetition.outcome.valid for repetition in event.repetitions)
            done = f"{valid} of {len(event.repetitions)} valid, {event.block.wall_ns / 1e9:.1f} s"
            self._console.print(f"  block {event.block.block + 1}: {done}; {self._left}")


def measure_live(
    config: Config,
    scenarios: "Sequence[Scenario]",
    *,
    selection: str,
    analysis: "RunAnalysis | None" = None,
    conduct: "Conduct | None" = None,
    quiet: bool = False,
) -> "Finished":
    """`run.measure` with the live display. `quiet` shows only messages about preparations."""
    from harness.runner import run
    from harness.runner.run_analysis import in_blocks

    with LiveConsole() as console:
        return run.measure(
            config,
            scenarios,
            selection=selection,
            handlers=[] if quiet else [console],
            report=console.report,
            analysis=analysis,
            conduct=conduct or in_blocks,
        )


def _left(event: events.Progress) -> str:
    """The remaining time as text. It is unknown before the first block; then the text states the budget."""
    if event.remaining_s is not None:
        return f"{'at most ' if event.at_most else ''}{_minutes(event.remaining_s)} left"
    return f"{_minutes(event.budget_left_s)} of the budget left" if event.budget_left_s > 0 else "past its budget"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
