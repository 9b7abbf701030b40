"""The processes that draw a site: this one, and a second one where that is worth its start."""

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
"""From so many pages on a second process is worth a start from nothing, which is a second of imports."""
_AHEAD = 2
"""The second process has so many tasks at a time, so that it need not wait for the next one."""

_P = ParamSpec("_P")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class _RenderRequest:
    number: int
    task: Callable[..., Any]
    arguments: tuple[Any, ...]


class RenderPool:
    """Does tasks: functions of the runs as whichever process has them, and of arguments that can be pickled.

    What is asked for is done by the second process meanwhile, and in `finish` by this one.
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
        """Have a task done before `finish` returns."""
        self._left.append(_RenderRequest(number=self._asked, task=task, arguments=args))
        self._asked += 1
        if self._free.acquire(blocking=False):
            self._hand_over()

    def share(self, task: Callable[[Runs, _Item, Path], _Result], items: Sequence[_Item], into: Path) -> list[_Result]:
        """The result of a task for each item, in their order: the first is done here, any other by who is free."""
        for item in items[1:]:
            self.ask(task, item, into)
        return [*(task(self.runs, item, into) for item in items[:1]), *self.finish()]

    def finish(self) -> list[Any]:
        """Do what nobody has begun, and wait for the rest; gives all results in the order in which they were asked."""
        here: dict[int, Any] = {}
        while (each := self._next()) is not None:
            here[each.number] = each.task(self.runs, *each.arguments)
        done = here | {number: future.result() for number, future in self._there.items()}
        self._there.clear()
        return [done[number] for number in sorted(done)]

    def stop(self, *, wait: bool = False) -> None:
        """Leave what nobody has begun; `wait` until the second process has ended, or let it end by itself.

        A pool that nobody has waited for may still be closing its pipe when Python ends, and Python then writes a
        traceback to standard error.
        """
        self._left.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=wait, cancel_futures=True)

    def _next(self) -> _RenderRequest | None:
        with self._lock:
            return self._left.popleft() if self._left else None

    def _hand_over(self, _done: object = None) -> None:
        """Give the second process the next task; when that is done, the one after it."""
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
    """The processes that draw about this many pages of `runs`."""
    before = gc.get_threshold()
    _collect_seldom()
    both = RenderPool(runs, _second_process(runs, pages))
    try:
        yield both
        both.stop(wait=True)
    except BaseException:
        both.stop()  # whoever interrupts waits for no page
        raise
    finally:
        gc.set_threshold(*before)


def _second_process(runs: Runs, pages: int) -> ProcessPoolExecutor | None:
    """A copy of this process, which is there at once; where that cannot be, a fresh one if many pages are due."""
    store = runs.store
    if store.address is None or not pages:
        return None
    if _may_fork():
        store.close()  # two processes must not speak through one connection; each opens its own
        pool = ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=_begin, initargs=(runs.derived,))
    elif pages >= MANY:
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin)
    else:
        return None
    pool.submit(_prepare)  # starts it now
    return pool


def _may_fork() -> bool:
    """Whether this process is one thread and nothing else: what another thread holds would never be let go in a copy.

    Known on Linux alone. Elsewhere the system's own libraries may have threads, or bear no copy.
    """
    threads = Path("/proc/self/task")
    return threads.is_dir() and len(list(threads.iterdir())) == 1


_AT_HAND: list[RunValues] = []
"""In a second process that is a copy: the values that the first one had, which would otherwise be derived again."""


def _begin(derived: RunValues | None = None) -> None:
    """What the second process does first. Whether to go on after Ctrl-C is for the first one to decide."""
    _AT_HAND[:] = [derived] if derived else []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _collect_seldom()


def _prepare() -> None:
    """Import what takes longest of what pages need, while the first process still finds out which are due."""
    import scipy.special  # noqa: F401


def _do(address: str | Path, task: Callable[..., _Result], arguments: tuple[Any, ...]) -> _Result:
    return task(_runs_of(address), *arguments)


@cache
def _runs_of(address: str | Path) -> Runs:
    """The runs as the second process has them: the store is opened once in its life."""
    return Runs(open_store(address), derived=_AT_HAND[0] if _AT_HAND else None)


def _collect_seldom() -> None:
    """A page is thousands of small objects without cycles: looking for cycles among them took a third of its time."""
    gc.set_threshold(100_000)
