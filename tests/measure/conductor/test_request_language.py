"""Which language an order names: the user's; else in process the voice's own, and to a server none."""

import pytest

from harness.core.records.repetition import Phase
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario, Utterance
from harness.measure.conductor.requests import concurrent_order, engine_order, load_order, synthesis_order
from harness.measure.conductor.worker_factory import ArmFiles
from harness.measure.worker.protocol import ConcurrentOrder, SynthesisOrder
from harness.plan.corpus import Corpus, user_text
from harness.plan.matrix import RunLimits, make_plan

MODEL = ModelVariant(name="replica", sha256="a" * 64, size=1, origin="replica")
HERE = Arm(engine="kokoro", model=MODEL)
SERVER = Arm(engine="endpoint", provider="", url="http://127.0.0.1:1")
CORPUS = Corpus().utterance("chars-12")
OWN = user_text("Bonjour.")
OWN_CORPUS = {
    "am_michael": "en-us", "bm_fable": "en-gb", "ef_dora": "es", "ff_siwis": "fr-fr", "im_nicola": "it",
    "pf_dora": "pt-br",
}  # fmt: skip


def spoken(arm: Arm, voice: str, language: str, text: Utterance) -> SynthesisOrder:
    scenario = Scenario(arm=arm, mode=Mode.WHOLE, text_class=text.text_class, voice=voice, language=language)
    return synthesis_order(scenario, text, launch=0, block=0, position=0, phase=Phase.MEASURED, original_seconds=None)


def concurrent(arm: Arm, voice: str, language: str, text: Utterance) -> ConcurrentOrder:
    scenario = Scenario(arm=arm, mode=Mode.ENDPOINT, text_class=text.text_class, voice=voice, language=language)
    return concurrent_order(scenario, [text], launch=0, block=0, phase=Phase.MEASURED, seed=0)


@pytest.mark.parametrize(
    ("arm", "voice", "language", "text", "named"),
    [
        (HERE, "af_heart", "", CORPUS, "en-us"),
        (HERE, "bf_emma", "", CORPUS, "en-gb"),
        (HERE, "ff_siwis", "", CORPUS, "en-us"),
        *((HERE, voice, "", CORPUS, "en-us") for voice in ("jf_alpha", "hf_beta", "zf_xiaoyi")),
        *((HERE, voice, "", Corpus(language=tag).utterance("chars-12"), tag) for voice, tag in OWN_CORPUS.items()),
        (HERE, "ff_siwis", "", OWN, "fr-fr"),
        (HERE, "nova", "", OWN, "en-us"),
        (HERE, "ff_siwis", "es", OWN, "es"),
        (SERVER, "bf_emma", "", CORPUS, ""),
        (SERVER, "nova", "", OWN, ""),
        (SERVER, "bf_emma", "en-us", CORPUS, "en-us"),
    ],
)
def test_an_order_names_a_language(arm: Arm, voice: str, language: str, text: Utterance, named: str) -> None:
    assert spoken(arm, voice, language, text).language == named
    assert [each.language for each in concurrent(arm, voice, language, text).texts] == [named]


def test_an_engine_is_told_the_users_language_unless_it_is_an_older_one() -> None:
    run_limits = RunLimits(budget_s=1, launches=1, blocks=1, warmups=0, timeout_s=1, seed=0)
    for revision, told in (("", "en-gb"), ("HEAD~1", "")):
        arm = Arm(engine="kokoro", model=MODEL, revision=revision)
        scenario = Scenario(arm=arm, mode=Mode.WHOLE, text_class="chars-12", voice="af_heart", language="en-gb")
        plan = make_plan([scenario], corpus=Corpus(), run_limits=run_limits)
        assert load_order(arm, ArmFiles(), plan=plan, launch=0).engine.language == told
    assert engine_order(HERE, ArmFiles(), voice="bf_emma", seed=0).language == ""


def test_a_language_is_in_a_scenarios_name_where_somebody_chose_it() -> None:
    plain = Scenario(arm=HERE, mode=Mode.WHOLE, text_class="chars-12", voice="bf_emma")
    chosen = Scenario(arm=HERE, mode=Mode.WHOLE, text_class="chars-12", voice="bf_emma", language="en-gb", speed=1.25)
    assert plain.request == "whole/chars-12/bf_emma"
    assert chosen.request == "whole/chars-12/bf_emma/lang-en-gb/speed-1.25"


def test_a_users_text_keeps_the_name_that_it_always_had() -> None:
    # The class's name holds the digest, which stands in baselines.
    assert user_text("Hello.").text_class == user_text("Hello.", language="en-us").text_class
    assert user_text("Hello.").text_class != user_text("Hello.", language="de").text_class
