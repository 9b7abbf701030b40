"""From speech verdicts to those of the gate: what replaces what, and what is only noted."""

from dataclasses import replace

import pytest

from harness.analysis.audio_comparison import AudioSimilarity
from harness.analysis.conclude import Conclusions
from harness.analysis.speech_quality import NOISE, with_speech
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.core.records.speech import EditCounts, SpeechKind, SpeechReading
from harness.core.records.value import known
from harness.core.records.verdict import Verdict, VerdictKind
from tests.conftest import Laboratory

NEAR = {"mcd": known(1.5), "mcd_peak": known(2.5), "timbre": known(0.3), "duration_ratio": known(0.99)}


def scenario(name: str, origin: str) -> Scenario:
    model = ModelVariant(name=name, sha256=name[0] * 64, size=1, origin=origin)
    return Scenario(arm=Arm(engine="kokoro", model=model), mode=Mode.WHOLE, text_class="chars-60", voice="v")


def reading(own: Scenario, errors: int = 0) -> SpeechReading:
    return SpeechReading(
        scenario_id=own.id, launch=0, text="t", language="en-us", audio_sha256="", seconds=1.0, readings={},
        words=EditCounts(reference=8, substituted=errors), judge="j",
    )  # fmt: skip


ORIGINAL, VARIANT = scenario("original", "public"), scenario("variant", "quantised")
WRONG = Verdict(scenario_id=VARIANT.id, metric="mcd", kind=VerdictKind.FAILED, reason="It sounds wrong: 9 dB")
NOTHING = Conclusions(summaries=(), verdicts=(), targets=())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    found = Laboratory(tmp_path_factory.mktemp("speech")).run(launches="1", blocks="1").data
    return replace(found, run=replace(found.run, scenarios=(ORIGINAL, VARIANT)))


def similar(reference: Scenario = ORIGINAL, *, is_known: bool = True) -> AudioSimilarity:
    return AudioSimilarity(scenario_id=VARIANT.id, reference=reference, known=is_known, figures=(NEAR,), launches=(0,))


def test_a_verdict_on_speech_replaces_the_one_on_sound_alone(data: RunData) -> None:
    wrong = replace(NOTHING, verdicts=(WRONG,))
    readings = (reading(ORIGINAL), reading(VARIANT, errors=4))
    found, verdicts = with_speech(wrong, readings, [similar()], data)
    assert [(each.metric, each.kind) for each in found.verdicts] == [("speech", VerdictKind.FAILED)]
    assert [(each.kind, dict(each.counts)) for each in verdicts] == [(SpeechKind.BROKEN, {"broken": 1})]


@pytest.mark.parametrize(
    ("errors", "kind"), [(0, VerdictKind.UNCHANGED), (1, VerdictKind.DIFFERENT), (4, VerdictKind.FAILED)]
)
def test_each_kind_has_its_verdict_of_the_gate_against_the_original(
    data: RunData, errors: int, kind: VerdictKind
) -> None:
    found, _ = with_speech(NOTHING, (reading(ORIGINAL), reading(VARIANT, errors)), [similar()], data)
    (verdict,) = found.verdicts
    assert (verdict.scenario_id, verdict.metric, verdict.kind) == (VARIANT.id, "speech", kind)
    assert verdict.reference == ORIGINAL.id


def test_without_a_judge_the_verdict_on_sound_stays_and_the_sheet_agrees(data: RunData) -> None:
    wrong = replace(NOTHING, verdicts=(WRONG,))
    found, (verdict,) = with_speech(wrong, (), [similar()], data, reason="no tools")
    assert found.verdicts == (WRONG,)
    assert (verdict.kind, verdict.reason) == (SpeechKind.BROKEN, WRONG.reason)
    assert found.notes == ()


def test_what_is_unknown_is_a_note_with_the_reason_and_no_verdict(data: RunData) -> None:
    found, (verdict,) = with_speech(NOTHING, (), [similar()], data, reason="no tools")
    assert (found.verdicts, verdict.kind) == ((), SpeechKind.UNKNOWN)
    assert found.notes == ("speech: whether variant.cpu.tdefault says the same is unknown: no tools",)


def test_the_replicas_noise_and_an_unknown_original_have_no_verdict(data: RunData) -> None:
    readings = (reading(ORIGINAL), reading(VARIANT, errors=4))
    for each, reason in (
        (similar(scenario("replica", "replica")), NOISE),
        (similar(is_known=False), "the run has no known original of variant.cpu.tdefault"),
    ):
        found, (verdict,) = with_speech(NOTHING, readings, [each], data)
        assert (found.verdicts, verdict.kind, verdict.reason) == ((), SpeechKind.UNKNOWN, reason)
