"""Import paths that engines and suites of others use are kept for one release."""

import harness.core.records.repetition
import harness.records.repetition
from harness.engines import protocol, speech
from harness.plugin import scenarios
from harness.runner import pytest_marker


def test_records_of_repetitions_are_the_same_under_the_former_path() -> None:
    names = [name for name in vars(harness.core.records.repetition) if name[0].isupper()]
    assert len(names) >= 15
    for name in names:
        assert getattr(harness.records.repetition, name) is getattr(harness.core.records.repetition, name)


def test_the_marker_of_suites_is_the_same_under_the_former_path() -> None:
    assert scenarios is pytest_marker.scenarios


def test_the_protocol_of_engines_offers_what_it_did() -> None:
    for name in ("EngineOrder", "Stages", "Engine", "FIRST_BYTE", "ARRIVAL", "BODY_END", "Remote", "Shared"):
        assert name in protocol.__all__
    for name in ("EngineRefusal", "SpeechFailure", "SpeechRequest", "one_line", "outcome_of"):
        assert getattr(protocol, name) is getattr(speech, name)
