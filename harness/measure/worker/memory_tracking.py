"""Writes down with memray what a worker allocates, in launches that are not measured."""

import sys
from importlib import import_module
from typing import Any

from harness.measure.worker.protocol import TrackOrder


class MemoryTracking:
    """At most one file is being written at a time."""

    def __init__(self) -> None:
        self._tracker: Any = None

    def switch(self, order: TrackOrder) -> str:
        """Finish the current file, and begin that of the order. Return why it cannot be begun, or ""."""
        if self._tracker is not None:
            self._tracker.__exit__(None, None, None)
            self._tracker = None
        if not order.path:
            return ""
        try:
            memray = _memray(order.site)
        except ImportError as error:
            return f"memray cannot be loaded into Python {sys.version.split()[0]}: {error}"
        # Only sums are needed. A file of every allocation takes longer to read than the worker takes to add them up.
        self._tracker = memray.Tracker(order.path, file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS)
        self._tracker.__enter__()
        return ""


def _memray(site: str) -> Any:  # noqa: ANN401 - it is installed for the harness, and not where all types are checked
    """The module, the worker's own or that of `site`, which stays out of the way of all other imports."""
    sys.path.append(site)
    try:
        return import_module("memray")
    finally:
        sys.path.remove(site)
