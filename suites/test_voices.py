"""Voices and languages: one text of a class in each voice's own language, with the original model.

Voices that the voices file lacks are skipped. Hindi, Japanese and Chinese voices speak the English text, because
espeak-ng, which kokoro-onnx phonemises with, reads those languages poorly or not at all.
"""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

VOICES = (
    *("af_heart", "am_michael", "bf_emma", "bm_george"),
    *("ef_dora", "em_alex", "ff_siwis", "if_sara", "im_nicola", "pf_dora", "pm_alex"),
    *("hf_alpha", "hm_omega", "zf_xiaobei", "zm_yunxi"),
    *("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo"),
)
"""A woman's and a man's voice of each language, as far as the public voices file has them, and every Japanese voice."""


@scenarios(Mode.WHOLE, nightly=("chars-60",), voices=VOICES, recipes=())
def test_voices(measured: Measured, benchmark: Benchmark) -> None:
    """The same length of text in each voice: the work follows the length of the audio."""
    measured.replay(benchmark)
    measured.check()
