"""What can be written: the page of one run, and the site of all of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.records.run import RunData
from reports.rendering import ReportError, render, write
from reports.view import NO_REFERENCE, Reference, run_view

if TYPE_CHECKING:
    from harness.store.runs import RunStore
    from reports.trends import Marks

__all__ = ["Reference", "ReportError", "write_run_page", "write_site"]


def write_run_page(data: RunData, path: Path, *, reference: Reference = NO_REFERENCE) -> Path:
    """Write one self-contained page of one run, and return its path. The same run gives the same bytes.

    `reference` says what the run is compared with, beyond what its verdicts say. ReportError where the disk refuses.
    """
    from reports.course import course

    view = run_view(data, reference=reference, course=course(data))
    write(path, render("run.html", run=view, legend=view.legend, site=None))
    return path


def write_site(store: "RunStore", directory: Path, *, marks: "Marks | None" = None) -> Path:
    """Write the site of all runs in a store, and return its index. What did not change is not drawn again."""
    from reports.site_pages import publish
    from reports.trends import NO_MARKS

    return publish(store, directory, marks=marks or NO_MARKS)
