"""What a job's promotion writes."""

from dataclasses import replace
from pathlib import Path

from harness.core.records.reference import AcceptedBy
from harness.core.redaction import published
from harness.schedule import service
from harness.schedule.job import Settings
from harness.schedule.outbox import at_once
from harness.schedule.promotion import REASON
from harness.schedule.service import Here
from harness.store.reference_file import load_reference
from harness.store.runs import open_store
from tests.conftest import Laboratory


def test_promoted_run_is_the_reference_until_its_subject_changes(tmp_path: Path) -> None:
    lab = Laboratory(tmp_path)
    data = lab.run().data
    config = lab.config()
    with open_store(config.results) as store:
        here = Here(config=config, store=store, journal=store.journal(), machine_key="", runner="here", boot="boot-1")
        promote = service._post_run(here, Settings(), (), print, at_once).promote
        assert promote(published(data)) == 4
        [arm] = load_reference(config.baselines).arms
        assert (arm.run, arm.date, arm.reason) == (data.run.id, "2000-01-01", REASON)
        assert arm.accepted_by is AcceptedBy.SCHEDULE
        assert len(arm.scenarios) == 3

        next_night = replace(data, run=replace(data.run, id="20000102-000000-abcdef"))
        assert promote(published(next_night)) == 3
        assert load_reference(config.baselines).arms == (arm,)

        changed = replace(data.launches[0].software, engine_source="e" * 64)
        launches = tuple(replace(each, software=changed) for each in data.launches)
        promote(published(replace(next_night, launches=launches)))
        [after] = load_reference(config.baselines).arms
        assert after.run == "20000102-000000-abcdef"
        assert after.scenarios == arm.scenarios
