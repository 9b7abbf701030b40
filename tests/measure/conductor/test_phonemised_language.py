"""What kokoro-onnx gives to espeak-ng for a voice of each language: from the scenario to the phonemiser."""

from pathlib import Path

import numpy as np

from harness.core.clock import SystemClock
from harness.core.records.repetition import Phase
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.engines.kokoro.engine import start
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.speech import SpeechRequest
from harness.measure.conductor.requests import synthesis_order
from harness.models.files import ModelFiles
from harness.plan.corpus import Corpus
from harness.plan.matrix import RunLimits, make_plan

LIMITS = RunLimits(budget_s=60.0, launches=1, blocks=1, warmups=0, timeout_s=30.0, seed=0)
SPOKEN = {
    "af_heart": "en-us", "bf_emma": "en-gb", "ef_dora": "es", "ff_siwis": "fr-fr", "if_sara": "it", "pf_dora": "pt-br",
    "hf_alpha": "en-us", "jf_alpha": "en-us", "zf_xiaobei": "en-us",
}  # fmt: skip
"""Voice → the language of its text, which is the one that its text is phonemised in."""


def test_each_voice_is_phonemised_in_the_language_of_its_text(small_replica: ModelFiles, tmp_path: Path) -> None:
    with np.load(small_replica.voices_path) as voices:
        arrays = dict.fromkeys(SPOKEN, voices["af_heart"])
    path = tmp_path / "voices.npz"
    np.savez(path, **arrays)
    order = EngineOrder(
        engine="kokoro", model="replica-small", model_path=str(small_replica.model_path), voices_path=str(path),
        voice="if_sara", threads=1,
    )  # fmt: skip
    engine = start(order, clock=SystemClock(), stages=Stages(SystemClock()))
    tokenizer = engine._kokoro.tokenizer
    phonemise, asked = tokenizer.phonemize, []

    def listen(text: str, lang: str) -> str:
        asked.append((text, lang))
        return str(phonemise(text, lang))

    tokenizer.phonemize = listen
    for voice in SPOKEN:
        scenario = Scenario(arm=Arm(engine="kokoro"), mode=Mode.WHOLE, text_class="one-word", voice=voice)
        text = make_plan([scenario], corpus=Corpus(), run_limits=LIMITS).utterance(scenario, 0)
        told = synthesis_order(
            scenario, text, launch=0, block=0, position=0, phase=Phase.MEASURED, original_seconds=None
        )
        request = SpeechRequest(text=told.text, voice=told.voice, language=told.language)
        assert sum(map(len, engine.synthesise(request))) > 0
    engine.close()
    expected = [(Corpus(language=language).utterance("one-word").text, language) for language in SPOKEN.values()]
    assert asked == expected
