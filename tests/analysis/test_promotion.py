"""What promoting a run writes."""

from dataclasses import replace
from pathlib import Path

from harness.analysis.promotion import baseline_entries
from tests.conftest import Laboratory


def test_promotion_of_run_concluded_under_earlier_definition_keeps_that_definition(tmp_path: Path) -> None:
    data = Laboratory(tmp_path).run().data
    now = {entry.metric: entry.point.definition for entry in baseline_entries(data)}
    earlier = tuple(
        replace(each, definition=each.definition - 1) if each.metric == "ttfa" else each for each in data.summaries
    )
    then = {entry.metric: entry.point.definition for entry in baseline_entries(replace(data, summaries=earlier))}
    assert then == {**now, "ttfa": now["ttfa"] - 1}
