"""Whether what the workers of a run loaded is what was accepted."""

from dataclasses import replace
from pathlib import Path

from harness.analysis.subjects import SubjectState, compare, subject_of
from harness.core.records.reference import LoadedSubject, ReferenceArm
from harness.core.records.repetition import LoadedSoftware
from harness.core.records.run import RunData
from tests.conftest import Laboratory


def accepted(subject: LoadedSubject) -> ReferenceArm:
    return ReferenceArm(arm_id="a", subject=subject, run="r", date="2026-01-02", scenarios=("a/x",))


def with_software(data: RunData, *software: LoadedSoftware) -> RunData:
    launches = [replace(launch, software=each) for launch, each in zip(data.launches, software, strict=False)]
    return replace(data, launches=(*launches, *data.launches[len(software) :]))


def test_subject_is_what_the_workers_reported(tmp_path: Path) -> None:
    data = Laboratory(tmp_path).run().data
    arm = data.run.scenarios[0].arm
    subject = subject_of(arm, data)
    assert subject is not None
    assert subject.engine == "scripted"
    assert subject.engine_source == data.launches[0].software.engine_source != ""
    assert subject.model_sha256 == (arm.model.sha256 if arm.model else "")
    assert compare(subject, accepted(subject), arm=arm).state is SubjectState.SAME

    changed = accepted(replace(subject, engine_source="e" * 64, model_sha256="d" * 64))
    found = compare(subject, changed, arm=arm)
    assert found.state is SubjectState.ANOTHER
    assert [each.name for each in found.differences] == ["model scripted", "source of engine scripted"]

    earlier = with_software(data, *[LoadedSoftware()] * len(data.launches))
    assert subject_of(arm, earlier) is None
    assert compare(None, accepted(subject), arm=arm).reason == "its workers did not report what they loaded"
    assert compare(subject, None, arm=arm).reason == "no reference was accepted for it"
    during = with_software(data, replace(data.launches[0].software, packages=(("numpy", "2.4.6"),)))
    assert subject_of(arm, during) is None

    for reference in (accepted(subject), changed):
        server = compare(subject, reference, arm=replace(arm, url="http://127.0.0.1:8880"))
        assert server.state is SubjectState.UNKNOWN
        assert "http://127.0.0.1:8880" in server.reason
