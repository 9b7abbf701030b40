"""Times a store of a million repetitions beside one of a thousand: a run is written, listed, shown, compared, reported.

`--store URL` measures another database than a fresh SQLite file, beside that file: its ratio is the figure then.
Retention is timed as the schedule does it, run by run, for a hundred thousand repetitions.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.kept_figures import keep
from benchmarks.synthetic_history import made_run
from benchmarks.synthetic_run import FIRST_NIGHT, NIGHT_S, Made
from harness.schedule.job import Settings
from harness.schedule.retention import Retention
from harness.store.runs import open_store

if TYPE_CHECKING:
    from harness.core.records.run import RunData

FEW, MANY = 1_000, 1_000_000
TURNS = 7
THINNED = 100_000
MADE = Made(load=False, troubles=False, classes=("tiny", "short"), blocks=122)
"""A thousand repetitions a run."""
COMMANDS = {
    "listed": ("runs", "list"),
    "shown": ("runs", "show", "latest"),
    "compared": ("baseline", "diff", "latest"),
    "reported": ("report", "--single-file", "latest", "--output", "page.html"),
}


class Nights:
    """A folder with a store of so many repetitions at least, each night a copy of one made night."""

    def __init__(self, folder: Path, repetitions: int, *, place: str = "") -> None:
        self.folder = folder
        self.place = place or str(folder / "results.sqlite")
        self._made = made_run(MADE, 0)
        self._count = 0
        folder.mkdir()
        began = time.perf_counter()
        with open_store(self.place) as store:
            while self._count * len(self._made.repetitions) < repetitions:
                store.add(self._next())
        print(f"{self._count} nights with {repetitions} repetitions in {time.perf_counter() - began:.0f} s")
        self.command("baseline", "promote", "night-000001")

    def _next(self) -> "RunData":
        self._count += 1
        run = replace(self._made.run, id=f"night-{self._count:06d}", started_at=FIRST_NIGHT + self._count * NIGHT_S)
        return replace(self._made, run=run)

    def command(self, *words: str) -> None:
        """Run a command on this store."""
        given = ("--results", self.place, "--baselines", str(self.folder / "baselines"))
        command = [sys.executable, "-m", "harness.cli", *words, *(given if words[0] != "runs" else given[:2])]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def act(self, name: str) -> None:
        """Run one of `COMMANDS`, or write a night."""
        if name in COMMANDS:
            self.command(*COMMANDS[name])
        else:
            self.written()

    def written(self) -> None:
        """Store a further night, block by block as while it is measured."""
        data = self._next()
        with open_store(self.place) as store:
            store.begin(data.run)
            for launch in data.launches:
                store.add_launch(data.run.id, launch)
            for block in data.blocks:
                place = block.launch, block.block
                mine = [each for each in data.repetitions if (each.launch, each.block) == place]
                store.add_block(data.run.id, block, mine)
            store.conclude(data.run.id, data.summaries, data.verdicts, data.targets)
            store.finish(data.run.id, status=data.run.status, ended_at=data.run.started_at + 600.0)

    def thinned(self, repetitions: int) -> float:
        """The seconds in which the schedule's retention removes so many repetitions."""
        nights = -(-repetitions // len(self._made.repetitions))
        settings = Settings(keep_raw_runs=self._count - nights, keep_raw_s=float("inf"))
        with open_store(self.place) as store:
            retention = Retention(
                store=store, settings=settings, machine_key=self._made.run.machine.key, runner="large-store",
                promoted=frozenset,
            )  # fmt: skip
            began = time.perf_counter()
            if len(retention.apply(now=FIRST_NIGHT + self._count * NIGHT_S)) != nights:
                raise SystemExit("retention removed other runs than it should")
            return time.perf_counter() - began


def compared(first: Nights, second: Nights, what: str, *, most: float) -> None:
    """Keep by what each action takes longer in the first store: the median of ratios in turns, and their range."""
    for name in ("written", *COMMANDS):
        seconds: dict[Nights, list[float]] = {first: [], second: []}
        for turn in range(TURNS + 1):
            for nights in (first, second)[:: -1 if turn % 2 else 1]:
                began = time.perf_counter()
                nights.act(name)
                seconds[nights].append(time.perf_counter() - began)
        # The first turn reads files that the system has not yet in memory.
        ours, theirs = (each[1:] for each in seconds.values())
        ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
        print(f"{name}: {median(ours):.3f} s against {median(theirs):.3f} s")
        keep(f"a run {name}, {what}", median(ratios), "", interval=(ratios[0], ratios[-1]), most=most)


def main() -> None:
    """Print the seconds and keep the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_store", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=MANY)
    parser.add_argument("--store", default="", help="URL of an empty database to measure beside SQLite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = {"SQLite": Nights(Path(folder) / "many", given.repetitions)}
        if given.store:
            stores["other database"] = Nights(Path(folder) / "other", given.repetitions, place=given.store)
            compared(stores["other database"], stores["SQLite"], "other database : SQLite", most=1.5)
        else:
            few = Nights(Path(folder) / "few", FEW)
            compared(stores["SQLite"], few, f"{given.repetitions} : {FEW} repetitions", most=1.1)
        removed = min(THINNED, given.repetitions // 2)
        for name, nights in stores.items():
            seconds = nights.thinned(removed)
            print(f"retention of {removed} repetitions, {name}: {seconds:.1f} s")
            keep(f"retention of {removed} repetitions, {name}", seconds, "s", most=60)


if __name__ == "__main__":
    main()
