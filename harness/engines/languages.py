"""Languages: Kokoro's letters for them, tags such as "en-gb", and which one a voice speaks.

The name of a voice begins with the letter of its language and f or m: `bf_emma` is British, `ff_siwis` French. In
process kokoro-onnx gives the tag to espeak-ng. Over HTTP Kokoro-FastAPI's `lang_code` is the letter; others take a tag.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

LETTERS: Mapping[str, str] = MappingProxyType(
    {"en-us": "a", "en-gb": "b", "es": "e", "fr-fr": "f", "hi": "h", "it": "i", "ja": "j", "pt-br": "p", "cmn": "z"}
)
"""espeak-ng's tag → Kokoro's letter."""
TAGS: Mapping[str, str] = MappingProxyType({letter: tag for tag, letter in LETTERS.items()})
"""Kokoro's letter → espeak-ng's tag."""
DEFAULT = "en-us"
"""The language that kokoro-onnx uses by default."""
_SHORT: Mapping[str, str] = MappingProxyType({"en": "en-us", "fr": "fr-fr", "pt": "pt-br", "zh": "cmn", "zh-cn": "cmn"})
"""Common short form → the tag of espeak-ng."""
_VOICE = re.compile(r"([abefhijpz])[fm]_")
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*")


def read_language(text: str) -> str:
    """The tag of a language given by its tag or Kokoro's letter; "" for "". ValueError for anything else."""
    given = text.strip().lower().replace("_", "-")
    tag = TAGS.get(given) or _SHORT.get(given, given)
    if tag and not _TAG.fullmatch(tag):
        raise ValueError(f"must be a tag such as en-gb or a letter of {', '.join(TAGS)}, not {text!r}")
    return tag


def letter_of(tag: str) -> str:
    """Kokoro's letter for a language; the tag if Kokoro has none."""
    return LETTERS.get(tag, tag)


def voice_language(voice: str) -> str:
    """The tag of a voice's own language; "" if its name does not show it.

    For a blend ("bf_emma+af_heart") it is that of the first voice: Kokoro-FastAPI goes by the first letter too.
    """
    found = _VOICE.match(voice)
    return TAGS[found[1]] if found else ""


def spoken_language(voice: str, *, written: str = "") -> str:
    """The language of a synthesis for which none was chosen: that of `voice`.

    If the text is known to be `written` in another language, it is that one, because espeak-ng spells out words that it
    cannot read.
    """
    own = voice_language(voice) or written or DEFAULT
    return own if not written or same_language(own, written) else written


def same_language(one: str, other: str) -> bool:
    """Whether two tags name varieties of one language, such as en-us and en-gb."""
    return one.partition("-")[0] == other.partition("-")[0]
