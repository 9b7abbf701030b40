"""The requests of `POST /v1/audio/speech` in two dialects, and their common parsed form."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from harness.engines.languages import TAGS
from harness.engines.pooled.synthesizer import FASTEST, SLOWEST
from harness.engines.speech import SpeechRequest

LONGEST_TEXT = 4_500
Voice = Annotated[str, Field(min_length=1, max_length=200, description="a voice, or several joined by + and averaged")]
Speed = Annotated[float, Field(ge=SLOWEST, le=FASTEST, allow_inf_nan=False)]
Language = Annotated[str, Field(min_length=1, max_length=20)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A parsed request: the speech request, and the dialect and audio format of the answer."""

    dialect: str
    request: SpeechRequest
    container: str


class OpenAiSpeech(BaseModel):
    """OpenAI's request. Unknown fields are ignored; the defaults are those of Kokoro-FastAPI."""

    model_config = ConfigDict(strict=True, extra="ignore")

    input: str = Field(min_length=1, max_length=LONGEST_TEXT)
    model: Literal["kokoro", "tts-1", "tts-1-hd"] = "kokoro"
    voice: Voice = "af_heart"
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] = "mp3"
    stream: bool = True
    stream_format: Literal["audio"] = "audio"
    speed: Speed = 1.0
    lang_code: Language | None = Field(default=None, description="Kokoro's letter or a tag; else the voice's own")

    def parse(self) -> ParsedRequest:
        code = self.lang_code or ""
        language = TAGS.get(code, code)
        request = SpeechRequest(
            text=speakable(self.input), voice=self.voice, speed=self.speed, language=language, stream=self.stream
        )
        return ParsedRequest(dialect="openai", request=request, container=self.response_format)


class RaycastSpeech(BaseModel):
    """The request of kokoro-onnx-raycast-api. An unknown field is an error, as in that server."""

    model_config = ConfigDict(strict=True, extra="forbid")

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    voice: Voice = "af_heart"
    format: Literal["pcm", "wav"] = "pcm"
    stream: bool = False
    speed: Speed = 1.0
    lang: Language = "en-us"

    def parse(self) -> ParsedRequest:
        request = SpeechRequest(
            text=speakable(self.text), voice=self.voice, speed=self.speed, language=self.lang, stream=self.stream
        )
        return ParsedRequest(dialect="raycast", request=request, container=self.format)


def dialect_of(body: object) -> str:
    """`text` without `input` is raycast; everything else is treated as openai."""
    return "raycast" if isinstance(body, dict) and "text" in body and "input" not in body else "openai"


Speech = Annotated[
    Annotated[OpenAiSpeech, Tag("openai")] | Annotated[RaycastSpeech, Tag("raycast")], Discriminator(dialect_of)
]
"""Either dialect, distinguished by the field with the text."""


class Fault(BaseModel):
    """One fault of a request."""

    type: str
    loc: list[str | int]
    msg: str


class Refusal(BaseModel):
    """The reason for a refusal: a sentence, or the faults of fields."""

    detail: str | list[Fault]


class Health(BaseModel):
    """The state of the server, with the reason if it is not `ready`."""

    status: Literal["starting", "ready", "draining", "failed"]
    detail: str = ""


class Voices(BaseModel):
    """Names of the voices."""

    voices: list[str]


class Model(BaseModel):
    """A model name that a request may use."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "kokoro"


class Models(BaseModel):
    """All model names."""

    object: Literal["list"] = "list"
    data: list[Model]


def speakable(text: str) -> str:
    """Replace control characters by spaces, because a C library may end the text at one."""
    return "".join(each if each.isprintable() or each.isspace() else " " for each in text)
