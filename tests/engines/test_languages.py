import pytest

from harness.engines.languages import LETTERS, TAGS, letter_of, read_language, spoken_language, voice_language


@pytest.mark.parametrize(
    ("given", "tag"),
    [("b", "en-gb"), ("EN_GB", "en-gb"), (" fr ", "fr-fr"), ("zh", "cmn"), ("z", "cmn"), ("de", "de"), ("", ""),
     ("pt-br", "pt-br"), ("zh-CN", "cmn"), ("en-us-nyc", "en-us-nyc")],
)  # fmt: skip
def test_a_language_is_given_by_its_tag_or_by_kokoros_letter(given: str, tag: str) -> None:
    assert read_language(given) == tag


@pytest.mark.parametrize("given", ["c", "english", "en us", "en-", "8"])
def test_what_is_no_tag_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="must be a tag such as en-gb or a letter of a, b, e, f, h, i, j, p, z"):
        read_language(given)


def test_letters_and_tags_are_one_to_one() -> None:
    assert {letter_of(tag): tag for tag in LETTERS} == dict(TAGS)
    assert all(read_language(letter) == tag for letter, tag in TAGS.items())
    assert letter_of("de") == "de"


@pytest.mark.parametrize(
    ("voice", "tag"),
    [("af_heart", "en-us"), ("bm_george", "en-gb"), ("ff_siwis", "fr-fr"), ("zf_xiaobei", "cmn"), ("jm_kumo", "ja"),
     ("bf_emma+af_heart", "en-gb"), ("af_bella(2)+bf_emma(1)", "en-us"), ("nova", ""), ("alloy", ""), ("fable", ""),
     ("echo", ""), ("", "")],
)  # fmt: skip
def test_a_voices_name_tells_its_language_or_none(voice: str, tag: str) -> None:
    assert voice_language(voice) == tag


@pytest.mark.parametrize(
    ("voice", "written", "spoken"),
    [
        ("af_heart", "", "en-us"),
        ("bf_emma", "", "en-gb"),
        ("ff_siwis", "", "fr-fr"),
        ("nova", "", "en-us"),
        ("bf_emma", "en-us", "en-gb"),
        # espeak-ng's Japanese would spell English letter by letter.
        ("jf_alpha", "en-us", "en-us"),
        ("nova", "de", "de"),
    ],
)
def test_a_voice_speaks_its_own_language_unless_the_text_is_in_another(voice: str, written: str, spoken: str) -> None:
    assert spoken_language(voice, written=written) == spoken
