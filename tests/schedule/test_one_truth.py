"""The schedule and the report know the same steps of one store, and write the same site of it."""

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import MeasurementError
from harness.plan.config import load_config
from harness.runner.outputs import write_report
from harness.schedule.alerts import Finding, alert_of
from harness.schedule.site_process import write_site

from .test_thousand_nights import Nights, Run


def pages(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in sorted(directory.rglob("*.html"))}


def test_an_alert_is_told_at_the_step_that_the_report_marks_and_any_other_is_marked_as_an_alert(
    bench: Any, make_run: Run, tmp_path: Path
) -> None:
    bench.put()
    Nights(bench, make_run, steps={60: 0.10}, gate=False).play(0, 75)
    (alert,) = bench.store.journal().alerts()
    site = write_report(bench.store, bench.config).parent
    (page,) = (site / "trends").glob("latency-*.html")
    html = page.read_text(encoding="utf-8")
    assert (html.count('class="event step"'), html.count('class="event reported"')) == (1, 0)
    assert f"alert: {alert.sentence}" in html

    early = bench.store.list()[-20].id
    finding = Finding(
        kind=alert.kind, subject=alert.subject, metric="latency", run_id=early, sentence="the gate said so"
    )
    bench.store.journal().open_alert(alert_of(finding, machine_key=alert.machine_key, now=1.0))
    write_report(bench.store, bench.config)
    html = page.read_text(encoding="utf-8")
    assert (html.count('class="event step"'), html.count('class="event reported"')) == (1, 1)
    assert "the gate said so" in html

    place = {"report": str(tmp_path / "published"), "results": bench.store.place}
    write_site(bench.store, load_config(place, start=tmp_path, environment={}))
    assert pages(tmp_path / "published") == pages(site)


def test_a_site_that_cannot_be_written_is_an_error_that_says_why(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a folder")
    place = {"report": str(tmp_path / "taken"), "results": bench.store.place}
    with pytest.raises(MeasurementError, match=r"the report was not written: .*taken"):
        write_site(bench.store, load_config(place, start=tmp_path, environment={}))
