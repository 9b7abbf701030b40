"""How long the site of a long history takes, from nothing and for one run more: wall time, memory and sizes.

A made history (seed below) of nightly runs, 60 scenarios of 8 metrics each; the newest have their repetitions too.
Each step is a process of its own, so that its time holds imports and its peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from harness.perf.made_history import CLASSES, Made, made_run
from harness.records.run import RunData
from harness.records.scenario import Mode
from harness.store.runs import RunStore, open_store

HISTORY = Made(
    seed=20260105,
    models=("kokoro-fp32", "kokoro-fp16", "kokoro-int8", "kokoro-q4", "kokoro-pruned"),
    classes=tuple(CLASSES),
    modes=(Mode.WHOLE, Mode.STREAM),
    blocks=12,
    troubles=False,
    load=False,
)
NIGHTS = 1000
RAW_FROM = 988
"""Nights before this one have no repetitions: making and storing them would take longer than all that is measured."""


def main() -> None:
    """Make the history, then the site, then add a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=NIGHTS)
    parser.add_argument("--step", nargs=2, metavar=("DATABASE", "SITE"), help="(for its own processes)")
    arguments = parser.parse_args()
    if arguments.step:
        _step(*map(Path, arguments.step))
        return
    with tempfile.TemporaryDirectory() as directory:
        database, site = Path(directory) / "results.sqlite", Path(directory) / "site"
        nights: int = arguments.nights
        raw_from = nights - (NIGHTS - RAW_FROM)
        started = time.perf_counter()
        with open_store(database) as store:
            for night in range(nights):
                full = night >= raw_from
                _keep(store, made_run(HISTORY if full else replace(HISTORY, blocks=3), night, raw=full))
        made_s = time.perf_counter() - started
        print(f"made {nights} runs of 60 scenarios, seed {HISTORY.seed}: {made_s:.1f} s")
        _measure("whole site", database, site)
        with open_store(database) as store:
            _keep(store, made_run(HISTORY, nights))
        _measure("one run more", database, site)
        _measure("nothing new", database, site)
        _sizes(site)
    print("wanted: whole site < 20 s and < 400 MB, one run more < 2 s, index < 1 MB, every page < 3 MB")


def _keep(store: RunStore, data: RunData) -> None:
    run_id = store.begin(data.run)
    for launch in data.launches:
        store.add_launch(run_id, launch)
    store.add_repetitions(run_id, data.repetitions)
    store.conclude(run_id, data.summaries, data.verdicts, data.targets)
    ended_at = data.run.started_at + data.run.budget_s
    store.finish(run_id, status=data.run.status, ended_at=ended_at, conditions_at_end=data.run.conditions_at_end)


def _measure(name: str, database: Path, site: Path) -> None:
    command = [sys.executable, "-m", "harness.perf.report_speed", "--step", str(database), str(site)]
    started = time.perf_counter()
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"{name:<14} {time.perf_counter() - started:6.2f} s, {result.stdout.strip()}")


def _step(database: Path, site: Path) -> None:
    from reports.pages import write_site

    with open_store(database) as store:
        started = time.perf_counter()
        write_site(store, site)
        taken = time.perf_counter() - started
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, child = (
        f"{each.ru_utime + each.ru_stime:.2f} s of CPU, peak {each.ru_maxrss * unit / 1e6:.0f} MB" for each in used
    )
    print(f"of which {taken:.2f} s in write_site; itself {own}; its second process {child}")


def _sizes(site: Path) -> None:
    pages = {file: file.stat().st_size for file in site.rglob("*.html")}
    largest = max(pages, key=lambda file: pages[file])
    index, every = pages[site / "index.html"] / 1e6, sum(pages.values()) / 1e6
    print(f"index {index:.2f} MB; {len(pages)} pages, {every:.0f} MB")
    print(f"largest page {largest.relative_to(site)}: {pages[largest] / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
