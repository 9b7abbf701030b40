"""What a scenario becomes as an order: every field, known."""

from dataclasses import replace

import pytest

from harness.core.records.repetition import AudioFeatures, Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.scenario import Arm, Arrivals, Mode, Scenario, Traffic, Utterance
from harness.measure.conductor.requests import (
    NO_BLOCK,
    Originals,
    concurrent_order,
    concurrent_timeout,
    engine_order,
    is_derived,
    load_order,
    order_language,
    synthesis_order,
)
from harness.measure.conductor.worker_factory import ArmFiles
from harness.measure.worker.protocol import ConcurrentOrder, LoadOrder, RequestText, SynthesisOrder
from harness.plan.corpus import seconds_per_character
from tests.measure.conducting import DERIVED, ORIGINAL, plan, scenario

SERVER = Arm(engine="endpoint", provider="", url="http://127.0.0.1:1", session_options=(("total_timeout", "7.5"),))
TEXT = Utterance(text_class="chars-12", variant=4, text="Twelve chars")
LONG = Utterance(text_class="custom", variant=1, text="y" * 100, language="fr")
ASKED = Scenario(arm=SERVER, mode=Mode.ENDPOINT, text_class="chars-12", voice="af_heart", speed=1.25, concurrency=2)
LOAD = replace(ASKED, concurrency=1, traffic=Traffic(arrivals=Arrivals.CLOSED, level=2, seconds=10, drain_s=20))
FILES = ArmFiles(model_path="/m", voices_path="/v")


def poll(
    spoken: Scenario,
    *,
    frames: int = 24_000,
    variant: int = 0,
    kind: OutcomeKind = OutcomeKind.VALID,
    audio: bool = True,
) -> Repetition:
    features = AudioFeatures(
        sample_rate=24_000, frames=frames, sha256="", finite=True, peak=0.1, rms_dbfs=-20.0, clipped_share=0.0,
        onset_frame=0,
    )  # fmt: skip
    return Repetition(
        scenario_id=spoken.id, launch=0, block=0, position=0, phase=Phase.MEASURED, variant=variant, characters=10,
        started_at=0.0, end_ns=1, audio=features if audio else None,
        outcome=Outcome(kind=kind, reason="" if kind is OutcomeKind.VALID else "wrong"),
    )  # fmt: skip


class TestOriginals:
    text = Utterance(text_class="long", variant=0, text="x")
    original, derived = scenario(ORIGINAL, "long"), scenario(DERIVED, "long")

    def test_a_derived_model_is_held_against_what_its_original_took_last(self) -> None:
        originals = Originals()
        assert originals.seconds_for(self.derived, self.text) is None
        originals.handle(self.original, poll(self.original, frames=36_000))
        assert originals.seconds_for(self.derived, self.text) == 1.5
        originals.handle(self.original, poll(self.original, frames=12_000))
        assert originals.seconds_for(self.derived, self.text) == 0.5
        assert originals.seconds_for(self.original, self.text) is None

    def test_nothing_is_learned_of_a_derived_model_or_of_what_failed(self) -> None:
        originals = Originals()
        originals.handle(self.derived, poll(self.derived))
        originals.handle(self.original, poll(self.original, kind=OutcomeKind.INVALID_AUDIO))
        originals.handle(self.original, poll(self.original, audio=False))
        assert originals.seconds_for(self.derived, self.text) is None

    @pytest.mark.parametrize(
        "change",
        [{"text_class": "short"}, {"voice": "am_adam"}, {"language": "fr"}, {"speed": 2.0}, {"mode": Mode.STREAM}],
    )
    def test_only_the_same_text_voice_language_speed_and_mode_are_a_measure(self, change: dict[str, object]) -> None:
        originals = Originals()
        originals.handle(self.original, poll(self.original))
        assert originals.seconds_for(replace(self.derived, **change), self.text) is None  # type: ignore[arg-type]
        assert originals.seconds_for(self.derived, replace(self.text, variant=1)) is None
        assert originals.seconds_for(replace(self.derived, repeats=3), self.text) == 1.0

    def test_a_model_is_derived_that_was_made_from_another(self) -> None:
        assert [is_derived(each) for each in (self.original, self.derived, ASKED)] == [False, True, False]


@pytest.mark.parametrize(("phase", "block"), [(Phase.MEASURED, 6), (Phase.WARMUP, NO_BLOCK)])
def test_an_order_to_speak(phase: Phase, block: int) -> None:
    band = seconds_per_character(TEXT)
    found = synthesis_order(
        replace(scenario(ORIGINAL, "chars-12"), speed=1.5), TEXT, launch=2, block=6, position=3, phase=phase,
        original_seconds=1.25, audio_path="a.wav",
    )  # fmt: skip
    assert found == SynthesisOrder(
        scenario_id="scripted.cpu.tdefault/whole/chars-12/af_heart/speed-1.5", launch=2, block=block, position=3,
        phase=phase, variant=4, text="Twelve chars", voice="af_heart", speed=1.5, language="en-us",
        is_phonemes=False, stream=False,
        band_low=band.low, band_high=band.high, original_seconds=1.25, audio_path="a.wav",
    )  # fmt: skip
    assert NO_BLOCK == -1


@pytest.mark.parametrize(("mode", "stream"), [(Mode.WHOLE, False), (Mode.STREAM, True), (Mode.ENDPOINT, True)])
def test_what_comes_in_pieces_is_asked_for_in_pieces(mode: Mode, stream: bool) -> None:  # noqa: FBT001
    phonemes = replace(TEXT, is_phonemes=True)
    found = synthesis_order(
        scenario(ORIGINAL, "chars-12", mode), phonemes, launch=0, block=0, position=0, phase=Phase.MEASURED,
        original_seconds=None,
    )  # fmt: skip
    assert (found.stream, found.is_phonemes, found.audio_path, found.original_seconds) == (stream, True, "", None)


@pytest.mark.parametrize(
    ("asked", "phase", "block", "compare"),
    [(ASKED, Phase.MEASURED, 6, True), (ASKED, Phase.WARMUP, -1, False), (LOAD, Phase.MEASURED, 6, False)],
)
def test_an_order_for_many(asked: Scenario, phase: Phase, block: int, compare: bool) -> None:  # noqa: FBT001
    bands = [seconds_per_character(each) for each in (TEXT, LONG)]
    found = concurrent_order(replace(asked, language="en-gb"), [TEXT, LONG], launch=2, block=6, phase=phase, seed=9)
    texts = (
        RequestText(text_class="chars-12", variant=4, text="Twelve chars", language="en-gb", band_low=bands[0].low,
               band_high=bands[0].high),
        RequestText(text_class="custom", variant=1, text="y" * 100, language="en-gb", band_low=bands[1].low,
               band_high=bands[1].high),
    )  # fmt: skip
    assert found == ConcurrentOrder(
        scenario_id=replace(asked, language="en-gb").id, launch=2, block=block, phase=phase, texts=texts,
        voice="af_heart", speed=1.25, seed=9, traffic=asked.traffic, compare=compare,
    )  # fmt: skip


def test_a_language_is_the_users_else_the_voices_and_a_server_is_told_the_users_alone() -> None:
    here = scenario(ORIGINAL, "long")
    assert order_language(replace(here, language="fr"), TEXT) == "fr"
    assert order_language(here, TEXT) == "en-us"
    assert order_language(here, replace(TEXT, language="fr")) == "fr"
    assert order_language(replace(here, voice="bf_emma"), TEXT) == "en-gb"
    assert order_language(ASKED, TEXT) == ""
    assert order_language(replace(ASKED, language="fr"), TEXT) == "fr"


def test_a_crowd_is_given_up_when_all_its_own_time_outs_have_passed() -> None:
    run_limits = plan(timeout_s=100.0).run_limits
    # 100 s and a quarter of a second a character are more than the server's own 7.5 s: five answers of those.
    assert concurrent_timeout(ASKED, [TEXT, LONG], run_limits) == 7.5 * 5 + 60
    patient = replace(ASKED, arm=replace(SERVER, session_options=()))
    assert concurrent_timeout(patient, [TEXT, LONG], run_limits) == (100 + 25) * 5 + 60
    assert concurrent_timeout(patient, [TEXT], replace(run_limits, timeout_s=1_000.0)) == 300.0 * 3 + 60
    # 5 s of warm-up, 10 s, 2 s of cool-down, 20 s for the last answers.
    assert concurrent_timeout(LOAD, [TEXT], run_limits) == 37 + 100 + 60


def test_an_order_to_load_an_engine() -> None:
    arm = replace(ORIGINAL, threads=3, slowdown=0.25, session_options=(("a", "b"),), provider_options=(("c", "d"),))
    first = replace(scenario(DERIVED, "long"), voice="bf_emma")
    spoken = replace(scenario(arm, "long"), voice="am_adam", language="fr")
    made = plan([first, spoken, replace(spoken, voice="af_heart")], seed=3)
    found = load_order(arm, FILES, plan=made, launch=2, page_cache="cold", dedicated=True, speak_first=False)
    assert found == LoadOrder(
        arm_id=arm.id, launch=2, page_cache="cold", dedicated=True, speak_first=False, slowdown=0.25,
        engine=engine_order(arm, FILES, voice="am_adam", language="fr", seed=3_003, script={"noise": "0"}),
    )  # fmt: skip
    usual = load_order(arm, FILES, plan=made, launch=0)
    assert (usual.page_cache, usual.dedicated, usual.speak_first, usual.engine.seed) == ("warm", False, True, 3_001)


def test_the_harness_of_another_revision_is_told_no_language() -> None:
    arm = replace(ORIGINAL, revision="abc1234")
    made = plan([replace(scenario(arm, "long"), language="fr")])
    assert load_order(arm, FILES, plan=made, launch=0).engine.language == ""


def test_what_an_arm_is_to_its_engine() -> None:
    arm = replace(
        ORIGINAL,
        provider="openvino",
        threads=3,
        session_options=(("a", "b"),),
        provider_options=(("c", "d"),),
        url="http://x",
    )
    found = engine_order(arm, FILES, voice="v", seed=5, language="fr", profile="p", script={"n": "0"})
    assert (found.engine, found.model, found.model_path, found.voices_path) == ("scripted", "scripted", "/m", "/v")
    assert (found.voice, found.language, found.provider, found.threads) == ("v", "fr", "openvino", 3)
    assert (found.session_options, found.provider_options) == ({"a": "b"}, {"c": "d"})
    assert (found.url, found.seed, found.profile, found.script) == ("http://x", 5, "p", {"n": "0"})
    bare = engine_order(SERVER, ArmFiles(), voice="v", seed=5)
    assert (bare.model, bare.language, bare.profile, dict(bare.script)) == ("", "", "", {})
