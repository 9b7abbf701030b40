"""Writes the page of one run, and the site of all runs."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.output_files import write_whole
from harness.core.records.run import RunData
from harness.core.redaction import published
from harness.metrics.derive import RunValues
from reports.history.context import NO_CONTEXT, Context
from reports.pages.rendering import render
from reports.text.naming import names_of
from reports.views.players import players
from reports.views.profiles import profile_views
from reports.views.speech import speech_of
from reports.views.view import Extras, quotes, run_view

if TYPE_CHECKING:
    from harness.store.runs import RunStore

__all__ = ["Context", "write_run_page", "write_site"]


def write_run_page(data: RunData, path: Path, *, context: Context = NO_CONTEXT) -> Path:
    """Write a self-contained page of one run and return its path. The same run gives the same bytes.

    Raises UsageError if writing fails. A pipe or a device is written to, and not replaced.
    """
    from reports.charts.course import course

    data = published(data)
    speech = speech_of(data, context.audio)
    sound = players(data, names_of(data), context.audio, speech=speech) if context.audio else None
    extras = Extras(
        course=course(data),
        sound=sound,
        speech=speech,
        quotes=quotes(data, context),
        profiles=profile_views(context.traces, data.run.id, names_of(data)),
    )
    view = run_view(data, values=RunValues(data), extras=extras)
    page = render("run.html", run=view, legend=view.legend, site=None)
    write_whole(path, page.encode(), where="--output")
    return path


def write_site(
    store: "RunStore", directory: Path, *, context: Context = NO_CONTEXT, derived: RunValues | None = None
) -> Path:
    """Write the site of all runs in a store and return the path of its index. Unchanged pages are not drawn again.

    `derived` are the values of a run that the caller already has. That run is neither read nor derived again.
    """
    from reports.pages.site_pages import publish

    return publish(store, directory, context=context, derived=derived)
