"""The section of a page on operators and nodes: its drawing, its links, and what happens to the copies of traces."""

import re
from pathlib import Path

import pytest

from harness.core.records.profile import PartTime, Profiled, ProfileSheet, Trace
from harness.core.records.verdict import Estimate
from harness.store.traces import trace_name, write_sheet, write_trace
from reports.charts.icicle import Block, icicle
from reports.pages.run_pages import publish_traces
from reports.text.naming import names
from reports.views.profiles import ProfileView, profile_views

RUN = "20260101-000000-abcdef"
MOVED = Estimate(point=0.005, low=0.004, high=0.006, level=0.9998, method="", n=12, launches=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The traces of a run with one profiled pair, whose Conv became 5 ms slower and lost its former node."""
    trace = tmp_path / "trace.json"
    trace.write_text("[]")
    name = trace_name("a/whole/b", side="candidate", launch=0)
    size = write_trace(tmp_path / "traces", RUN, name, trace)
    conv = PartTime(operator="Conv → FusedConv", before=0.060, after=0.065, change=MOVED)
    found = Profiled(
        candidate="a/whole/b",
        reference="c/whole/b",
        launches=3,
        repetitions=12,
        operators=(conv, PartTime(operator="Add", before=0.040, after=0.040)),
        nodes=(
            PartTime(operator="Conv", node="<b>old</b>", before=0.060, after=0.0),
            PartTime(operator="FusedConv", node="new", before=0.0, after=0.065, change=MOVED),
        ),
        left_out=7,
        traces=(Trace(side="candidate", launch=1, file=name, size=size),),
    )
    write_sheet(tmp_path / "traces", RUN, ProfileSheet(profiled=(found,)))
    return tmp_path / "traces"


def view(folder: Path, beside: str = "") -> ProfileView:
    (found,) = profile_views(folder, RUN, names(()), beside=beside)
    return found


def test_a_part_has_both_times_its_interval_and_its_share(folder: Path) -> None:
    conv, add = view(folder).operators
    assert (conv.before, conv.after, conv.difference, conv.share) == ("60.000", "65.000", "+5.000", "100.0 %")
    assert (conv.interval, conv.css) == ("+4.000 to +6.000", "worse")
    assert (add.difference, add.interval, add.css) == ("+0.000", "–", "same")
    assert view(folder).left_out == "7 shorter nodes left out"


def test_nodes_of_both_names_stand_below_their_operator(folder: Path) -> None:
    drawing = str(view(folder).drawing)
    places = re.findall(
        r'<svg class="part (\w+)" x="([\d.]+)%" y="(\d+)" width="([\d.]+)%"[^>]*><title>([^:]+):', drawing
    )
    assert [(css, y, label) for css, _, y, _, label in places] == [
        ("worse", "0", "all nodes"),
        ("worse", "24", "Conv → FusedConv"),
        ("better", "48", "&lt;b&gt;old&lt;/b&gt;"),
        ("worse", "48", "new"),
        ("same", "24", "Add"),
    ]
    assert max(float(x) + float(width) for _, x, _, width, _ in places) <= 100.02
    assert "<b>" not in drawing


def test_a_block_is_as_wide_as_what_is_inside_it() -> None:
    parts = (Block(label="a", before=5.0, after=6.0), Block(label="b", before=6.0, after=5.0))
    whole = Block(label="all", before=11.0, after=11.0, inside=parts)
    assert whole.width == 12.0
    assert 'width="50%"' in icicle(whole, finding="all")


def test_a_trace_is_linked_where_the_site_has_a_copy_of_it(folder: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    beside = publish_traces(folder, RUN, site)
    (link,) = view(folder, beside).traces
    assert (site / "runs" / link.href).resolve().read_bytes() == next((folder / RUN).glob("*.gz")).read_bytes()
    assert link.words == "candidate, launch 1 (1 kB)"
    assert view(folder).traces[0].href == "", "a page by itself has no copy"


def test_a_run_without_traces_leaves_no_copy(folder: Path, tmp_path: Path) -> None:
    publish_traces(folder, RUN, tmp_path / "site")
    assert publish_traces(None, RUN, tmp_path / "site") == ""
    assert not (tmp_path / "site" / "traces" / RUN).exists()
    assert profile_views(tmp_path / "nowhere", RUN, names(())) == ()
