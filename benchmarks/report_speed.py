"""Times the site of a long history, a full build and one for a further run, and `asv publish` on the same history.

The history is synthetic (seed below): nightly runs with 60 scenarios of 8 metrics each. The newest runs also have their
repetitions. Each step is a process of `kokoro-bench report`, so its time includes imports. Memory is the sum over the
process and its children. Python's bytecode exists beforehand, as in an installed package, even if the environment
disables writing it. asv is installed from the package index. If this fails, the exit code is 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psutil

from benchmarks import asv_publish
from benchmarks.foreign import environment
from benchmarks.kept_figures import keep
from benchmarks.synthetic_history import made_run
from benchmarks.synthetic_run import CLASSES, Made
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.store.runs import RunStore, open_store

_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Times in seconds, and memory in bytes: the maximum over time of the tree's resident memory."""

    wall_s: float
    cpu_s: float
    peak: int

    def __str__(self) -> str:
        return f"{self.wall_s:6.2f} s ({self.cpu_s:.1f} s of CPU), peak {self.peak / 1e6:.0f} MB"


def used_by(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Used:
    """Run a command to its end, in this environment or another. Raises CalledProcessError with its output."""
    before = psutil.Process().cpu_times()
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        done = threading.Event()
        peaks = [0]
        watch = threading.Thread(target=_watch, args=(process.pid, done, peaks))
        watch.start()
        try:
            written, complaints = process.communicate()
        finally:
            done.set()
            watch.join()
    wall_s = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command), written, complaints)
    after = psutil.Process().cpu_times()
    children = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return Used(wall_s=wall_s, cpu_s=children, peak=peaks[0])


def _watch(pid: int, done: threading.Event, peaks: list[int]) -> None:
    while not done.wait(_EVERY_S):
        try:
            root = psutil.Process(pid)
            peaks[0] = max(peaks[0], sum(_resident(each) for each in (root, *root.children(recursive=True))))
        except psutil.NoSuchProcess:
            return


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


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
"""Nights before this one have no repetitions: storing them would take longer than the measurements."""


def main() -> int:
    """Make the history, time the site, add a run and time it again, then time asv with the same history."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_speed", description=__doc__)
    parser.add_argument("--nights", type=int, default=NIGHTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        database, site = directory / "results.sqlite", directory / "site"
        compiled = _with_bytecode(directory)
        _make(database, arguments.nights)
        whole = _site("whole site", database, site, compiled)
        _sizes(site)
        print(f"index in Chromium: {index_complete(site / 'index.html')}")
        failed = _beside_asv(database, directory, whole)
        with open_store(database) as store:
            _keep(store, made_run(HISTORY, arguments.nights))
        keep("one run more", _site("one run more", database, site, compiled).wall_s, "s", most=1)
        keep("nothing new", _site("nothing new", database, site, compiled).wall_s, "s")
    return int(failed)


def _make(database: Path, nights: int) -> None:
    raw_from = nights - (NIGHTS - RAW_FROM)
    with open_store(database) as store:
        for night in range(nights):
            full = night >= raw_from
            _keep(store, made_run(HISTORY if full else replace(HISTORY, blocks=3), night, raw=full))
    print(f"made {nights} runs of 60 scenarios × 8 metrics, seed {HISTORY.seed}")


def _beside_asv(database: Path, directory: Path, ours: Used) -> bool:
    """Publish the same history with asv. Return whether this failed."""
    try:
        command = environment(directory / "asv", f"asv=={asv_publish.VERSION}") / "asv"
        with open_store(database) as store:
            configuration = asv_publish.write_history(store, directory)
        theirs = used_by([str(command), "publish", "--no-pull", "--config", str(configuration)])
    except subprocess.CalledProcessError as error:
        print(f"asv {asv_publish.VERSION}: not compared: {error} {error.stderr or ''}".rstrip())
        _keep_whole(ours)
        return True
    size = sum(file.stat().st_size for file in (directory / "html").rglob("*") if file.is_file())
    print(f"{f'asv {asv_publish.VERSION}':<14} {theirs}; {size / 1e6:.0f} MB of files")
    _keep_whole(ours, ("asv publish", theirs))
    time, memory = ours.wall_s / theirs.wall_s, ours.peak / theirs.peak
    print(f"whole site : asv publish = {time:.2f} : 1 in time, {memory:.2f} : 1 in memory")
    return False


def _keep_whole(ours: Used, *peers: tuple[str, Used]) -> None:
    """Keep the figures of the whole site, beside those of other tools."""
    keep("whole site", ours.wall_s, "s", most=10, peers=[(name, used.wall_s) for name, used in peers])
    memory = [(name, used.peak / 1e6) for name, used in peers]
    keep("whole site: peak memory", ours.peak / 1e6, "MB", most=250, peers=memory)


def _keep(store: RunStore, data: RunData) -> None:
    run_id = store.begin(data.run)
    for launch in data.launches:
        store.add_launch(run_id, launch)
    store.add_repetitions(run_id, data.repetitions)
    store.conclude(run_id, data.summaries, data.verdicts, data.targets)
    ended_at = data.run.started_at + data.run.budget_s
    store.finish(run_id, status=data.run.status, ended_at=ended_at, conditions_at_end=data.run.conditions_at_end)


def _with_bytecode(directory: Path) -> dict[str, str]:
    """Environment variables for a folder with all bytecode that a site needs, after making a small site."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(directory / "bytecode")
    with open_store(directory / "small.sqlite") as store:
        for night in range(2):
            _keep(store, made_run(replace(HISTORY, blocks=3), night))
    used_by(_command(directory / "small.sqlite", directory / "small"), environment=environment)
    return environment


def _command(database: Path, site: Path) -> list[str]:
    given = {"--results": database, "--report": site, "--baselines": database.with_name("baselines")}
    options = [text for name, value in given.items() for text in (name, str(value))]
    return [sys.executable, "-m", "harness.cli", "report", *options]


def _site(name: str, database: Path, site: Path, environment: dict[str, str]) -> Used:
    used = used_by(_command(database, site), environment=environment)
    print(f"{name:<14} {used}")
    return used


def _sizes(site: Path) -> None:
    pages = {file: file.stat().st_size for file in site.rglob("*.html")}
    largest = max(pages, key=lambda file: pages[file])
    index, every = pages[site / "index.html"] / 1e6, sum(pages.values()) / 1e6
    keep("index", index, "MB", most=1)
    keep("largest page", pages[largest] / 1e6, "MB", most=3)
    print(f"index {index:.2f} MB; {len(pages)} pages, {every:.0f} MB")
    print(f"largest page {largest.relative_to(site)}: {pages[largest] / 1e6:.2f} MB")


_TRIES = 5
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_COMPLETE = """() => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"""


def index_complete(page: Path) -> str:
    """Seconds from the navigation to the first frame after the load event, or why they are unknown."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "not measured: Playwright is not installed (pip install 'kokoro-bench[test]')"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return "not measured: no chromium on the path (apt-get install chromium)"
    times = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        for _ in range(_TRIES):
            tab = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
            tab.goto(page.as_uri(), wait_until="load")
            times.append(tab.evaluate(_COMPLETE) / 1000)
            tab.close()
        browser.close()
    keep("index complete in Chromium", median(times), "s", most=1)
    return f"complete after {median(times):.2f} s (median of {_TRIES}, the slowest {max(times):.2f} s)"


if __name__ == "__main__":
    sys.exit(main())
