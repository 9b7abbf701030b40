"""A second process beside this one: when there is one, and that it makes no difference to the pages."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.store.runs import RunStore, open_store
from reports.pages.run_cache import Runs
from reports.pages.workers import MANY, render_pool
from reports.pages.write import write_site

from .test_site import TINY, contents, nights

ROOT = Path(__file__).parents[2]
TASK = """
import os

def process(runs):
    return os.getpid()
"""
ONE_THREAD = """
import os, sys
from pathlib import Path
from harness.store.runs import open_store
from reports.pages.run_cache import Runs
from reports.pages.workers import render_pool
from reports.pages.write import write_site
from task import process

with open_store(sys.argv[1]) as store:
    with render_pool(Runs(store), pages=1) as both:
        both.ask(process)
        (asked,) = both.finish()
    print("alone" if asked == os.getpid() else "beside")
    write_site(store, Path(sys.argv[2]))
"""


def process(_: Runs) -> int:
    return os.getpid()


def number(_: Runs, item: int, _into: Path) -> int:
    return item


def failing(_: Runs) -> None:
    raise UsageError("it cannot be drawn", where="there", remedy="do without")


@pytest.mark.parametrize("pages", [0, 1, MANY - 1])
def test_a_process_with_threads_draws_few_pages_alone(store: RunStore, pages: int) -> None:
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(done.wait)
        with render_pool(Runs(store), pages=pages) as both:
            both.ask(process)
            assert both.finish() == [os.getpid()]
        done.set()


def test_what_is_shared_keeps_its_order_and_what_fails_there_fails_here(store: RunStore, tmp_path: Path) -> None:
    with render_pool(Runs(store), pages=MANY) as both:
        assert both.share(number, range(50), tmp_path) == list(range(50))
        both.ask(failing)
        with pytest.raises(UsageError, match="there: it cannot be drawn — do without"):
            both.finish()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="elsewhere a process is not copied")
def test_a_copy_of_a_process_of_one_thread_draws_the_same_pages(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(TASK, encoding="utf-8")
    with open_store(tmp_path / "results.sqlite") as store:
        nights(store, TINY, range(9))
        write_site(store, tmp_path / "step by step")
        nights(store, TINY, range(9, 10))
        write_site(store, tmp_path / "at once")
        command = [sys.executable, "-c", ONE_THREAD, str(tmp_path / "results.sqlite"), str(tmp_path / "step by step")]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
        told = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert (told.stdout.split(), told.stderr) == (["beside"], "")
    assert contents(tmp_path / "step by step") == contents(tmp_path / "at once")
