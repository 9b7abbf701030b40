from dataclasses import replace

import pytest

from harness.core.errors import UsageError
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.runner.voices import choose_voices

ORIGINAL = Arm(engine="kokoro", model=ModelVariant(name="original", sha256="a" * 64, size=1, origin="user"))
OTHER = replace(ORIGINAL, model=ModelVariant(name="other", sha256="b" * 64, size=1, origin="user"))
SERVER = Arm(engine="endpoint", url="http://127.0.0.1:1")


def spoken(voice: str, arm: Arm = ORIGINAL) -> Scenario:
    return Scenario(arm=arm, mode=Mode.WHOLE, text_class="chars-60", voice=voice)


def test_default_voice_that_is_there_is_kept() -> None:
    found = choose_voices([spoken("af_heart")], lambda _: ["af_bella", "af_heart"], default="af_heart")
    assert found.scenarios == (spoken("af_heart"),)
    assert not found.replaced
    assert not found.notes


def test_default_voice_that_is_missing_is_replaced_by_the_first_that_every_file_has() -> None:
    files = {ORIGINAL: ["af_heart", "jf_alpha", "jm_kumo"], OTHER: ["if_sara", "jf_alpha", "jm_kumo"]}
    asked = [spoken("af_heart"), spoken("af_heart", OTHER), spoken("jm_kumo", OTHER)]
    found = choose_voices(asked, lambda arm: files[arm], default="af_heart")
    assert [each.voice for each in found.scenarios] == ["jf_alpha", "jf_alpha", "jm_kumo"]
    assert found.replaced == {asked[0].id: spoken("jf_alpha").id, asked[1].id: spoken("jf_alpha", OTHER).id}
    assert len(found.notes) == 1
    assert "jf_alpha" in found.notes[0]


def test_other_voices_that_are_missing_are_left_out_with_the_nearest_name() -> None:
    asked = [spoken("af_heart"), spoken("bf_emma"), spoken("af_heart+af_bela")]
    found = choose_voices(asked, lambda _: ["af_bella", "af_heart"], default="af_heart")
    assert found.scenarios == (spoken("af_heart"),)
    assert list(found.left_out) == [each.id for each in asked[1:]]
    assert "did you mean 'af_bella'?" in found.left_out[asked[2].id]
    assert "bf_emma, af_heart+af_bela" in found.notes[0]


def test_voices_of_an_arm_without_a_file_are_taken_as_they_are() -> None:
    asked = [spoken("alloy", SERVER)]
    assert choose_voices(asked, lambda _: None, default="alloy").scenarios == tuple(asked)


def test_run_without_any_voice_that_is_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no voice 'bf_emma' in the voices file"):
        choose_voices([spoken("bf_emma")], lambda _: ["af_heart"], default="")
