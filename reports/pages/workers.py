"""The processes that draw a site: this one, and a second one if it saves more time than its start takes."""

import gc
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any, Concatenate, ParamSpec, TypeVar

from harness.metrics.derive import RunValues
from harness.store.runs import open_store
from reports.pages.run_cache import Runs

MANY = 40
"""From this number of pages on, a new second process is worth its start, which takes a second of imports."""
_AHEAD = 2
"""The second process has this many tasks at a time, so that it does not wait for the next one."""

_P = ParamSpec("_P")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class _RenderRequest:
    number: int
    task: Callable[..., Any]
    arguments: tuple[Any, ...]


class RenderPool:
    """Runs tasks in two processes. A task is a function of a process's `Runs` and of arguments that can be pickled.

    The second process starts with queued tasks at once. This process joins it in `finish`.
    """

    def __init__(self, runs: Runs, pool: ProcessPoolExecutor | None) -> None:
        self.runs = runs
        self._pool = pool
        self._left: deque[_RenderRequest] = deque()
        self._asked = 0
        self._there: dict[int, Future[Any]] = {}
        self._free = Semaphore(_AHEAD if pool else 0)
        self._lock = Lock()

    def ask(self, task: Callable[Concatenate[Runs, _P], object], *args: _P.args, **_: _P.kwargs) -> None:
        """Queue a task. It is done when `finish` returns."""
        self._left.append(_RenderRequest(number=self._asked, task=task, arguments=args))
        self._asked += 1
        if self._free.acquire(blocking=False):
            self._hand_over()

    def share(self, task: Callable[[Runs, _Item, Path], _Result], items: Sequence[_Item], into: Path) -> list[_Result]:
        """The results of a task for each item, in their order. This process does the first one, then both share."""
        for item in items[1:]:
            self.ask(task, item, into)
        return [*(task(self.runs, item, into) for item in items[:1]), *self.finish()]

    def finish(self) -> list[Any]:
        """Do the remaining tasks and wait for the others. Return all results in the order of the tasks."""
        here: dict[int, Any] = {}
        while (each := self._next()) is not None:
            here[each.number] = each.task(self.runs, *each.arguments)
        done = here | {number: future.result() for number, future in self._there.items()}
        self._there.clear()
        return [done[number] for number in sorted(done)]

    def stop(self, *, wait: bool = False) -> None:
        """Drop the tasks that have not begun. With `wait`, wait until the second process has ended.

        Without `wait`, the pool may still be closing its pipe when Python exits, and Python then prints a traceback.
        """
        self._left.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=wait, cancel_futures=True)

    def _next(self) -> _RenderRequest | None:
        with self._lock:
            return self._left.popleft() if self._left else None

    def _hand_over(self, _done: object = None) -> None:
        """Give the second process the next task, and repeat this whenever it has done one."""
        address = self.runs.store.address
        with self._lock:
            if not self._left or self._pool is None or address is None:
                self._free.release()
                return
            each = self._left[0]
            future = self._pool.submit(_do, address, each.task, each.arguments)
            self._there[each.number] = future
            self._left.popleft()
        future.add_done_callback(self._hand_over)


@contextmanager
def render_pool(runs: Runs, *, pages: int) -> Iterator[RenderPool]:
    """The pool that draws about `pages` pages of `runs`."""
    before = gc.get_threshold()
    _collect_seldom()
    both = RenderPool(runs, _second_process(runs, pages))
    try:
        yield both
        both.stop(wait=True)
    except BaseException:
        both.stop()  # after an interruption, no page is worth waiting for
        raise
    finally:
        gc.set_threshold(*before)


def _second_process(runs: Runs, pages: int) -> ProcessPoolExecutor | None:
    """A fork of this process, which starts at once. If forking is unsafe, a new process, if many pages are due."""
    store = runs.store
    if store.address is None or not pages:
        return None
    if _may_fork():
        store.close()  # two processes must not share a connection; each opens its own
        pool = ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=_begin, initargs=(runs.derived,))
    elif pages >= MANY:
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin)
    else:
        return None
    pool.submit(_prepare)  # starts it now
    return pool


def _may_fork() -> bool:
    """Whether this process has one thread only. In a fork, locks of other threads would never be released.

    This is known on Linux only. On other systems, libraries may have threads or may not support forking.
    """
    threads = Path("/proc/self/task")
    return threads.is_dir() and len(list(threads.iterdir())) == 1


_AT_HAND: list[RunValues] = []
"""In a fork: the derived values of the first process, so that they are not derived again."""


def _begin(derived: RunValues | None = None) -> None:
    """Initialise the second process. It ignores Ctrl-C, because the first process decides whether to go on."""
    _AT_HAND[:] = [derived] if derived else []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _collect_seldom()


def _prepare() -> None:
    """Import the slowest modules that pages need, while the first process determines which pages are due."""
    import scipy.special  # noqa: F401


def _do(address: str | Path, task: Callable[..., _Result], arguments: tuple[Any, ...]) -> _Result:
    return task(_runs_of(address), *arguments)


@cache
def _runs_of(address: str | Path) -> Runs:
    """The runs in the second process. It opens the store once."""
    return Runs(open_store(address), derived=_AT_HAND[0] if _AT_HAND else None)


def _collect_seldom() -> None:
    """Collect garbage rarely. It took a third of a page's time: a page has thousands of objects without cycles."""
    gc.set_threshold(100_000)
