"""What a verdict on speech changes in the headline and in the list of what was not measured, and what not."""

from dataclasses import replace
from pathlib import Path

from harness.core.records.verdict import SPEECH_VERDICT, Verdict, VerdictKind
from reports.text.naming import names_of
from reports.views.facts import gaps
from reports.views.headline import headline
from tests.conftest import Laboratory


def test_run_without_baseline_is_advised_to_promote_also_where_its_speech_was_judged(tmp_path: Path) -> None:
    data = Laboratory(tmp_path).run().data
    before = headline(data).detail
    assert "baseline promote" in before
    spoken = Verdict(scenario_id=data.run.scenarios[-1].id, metric=SPEECH_VERDICT, kind=VerdictKind.UNCHANGED)
    assert headline(replace(data, verdicts=(*data.verdicts, spoken))).detail == before


def test_broken_speech_is_no_missing_value(tmp_path: Path) -> None:
    data = Laboratory(tmp_path).run().data
    broken = Verdict(
        scenario_id=data.run.scenarios[-1].id, metric=SPEECH_VERDICT, kind=VerdictKind.FAILED, reason="another voice"
    )
    spoken = replace(data, verdicts=(*data.verdicts, broken))
    assert gaps(spoken, names_of(spoken)) == gaps(data, names_of(data))
