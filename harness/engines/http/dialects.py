"""The two dialects of `POST /v1/audio/speech`: the fields of a request, and which dialect a refusal asks for."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.engines.languages import letter_of
from harness.engines.speech import SpeechRequest

SAMPLE_RATE = 24_000
"""The sample rate of PCM in both dialects (Hz); it is signed 16-bit little endian, mono."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The names of the fields in one dialect; `model_field` is "" where a request names no model."""

    name: str
    text_field: str
    format_field: str
    language_field: str
    model_field: str
    formats: tuple[str, ...]
    voices_path: str
    state_paths: tuple[str, ...] = ()
    """Paths with statistics besides /status."""
    letters: bool = False
    """Whether requests name a language by Kokoro's letter instead of its tag."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a request besides its text."""
        named = ("voice", self.format_field, "stream", "speed", self.language_field, self.model_field)
        return tuple(name for name in named if name)

    def body(
        self,
        request: SpeechRequest,
        *,
        container: str,
        stream: bool,
        model: str,
        leave_out: Collection[str] = (),
    ) -> bytes:
        """The request's body: what was requested, and the fields that make the answer comparable between servers.

        It always has the text, the voice, the format and `stream`, whose defaults differ between servers, and in the
        dialect of OpenAI the model, which their own endpoint requires. It has a language, and a speed other than 1,
        only if they were requested. `leave_out` names fields that the server refuses.
        """
        body: dict[str, object] = {
            self.text_field: request.text,
            "voice": request.voice,
            self.format_field: container,
            "stream": stream,
        }
        if request.speed != 1.0:
            body["speed"] = request.speed
        if self.model_field:
            body[self.model_field] = model
        if request.language:
            body[self.language_field] = letter_of(request.language) if self.letters else request.language
        return json.dumps(
            {name: value for name, value in body.items() if name not in leave_out}, ensure_ascii=False
        ).encode()


OPENAI = Dialect(
    name="openai",
    text_field="input",
    format_field="response_format",
    language_field="lang_code",
    model_field="model",
    letters=True,
    formats=("pcm", "wav", "mp3", "opus", "flac"),
    voices_path="/v1/audio/voices",
)
RAYCAST = Dialect(
    name="raycast",
    text_field="text",
    format_field="format",
    language_field="lang",
    model_field="",
    formats=("pcm", "wav"),
    voices_path="/voices",
    state_paths=("/cache-status", "/optimization-status"),
)
DIALECTS: Mapping[str, Dialect] = MappingProxyType({each.name: each for each in (OPENAI, RAYCAST)})


def wanted_dialect(body: bytes) -> Dialect | None:
    """The dialect that a refusal asks for: that of the text field that it reports as missing; None if it names neither.

    A name alone does not count, because FastAPI repeats the whole request in its errors.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        # Frameworks that answer in plain text: "missing field `input` at line 1 column 2".
        answer = {"message": body.decode("utf-8", errors="replace")}
    missing = set(_missing_fields(answer))
    found = [dialect for dialect in DIALECTS.values() if dialect.text_field in missing]
    return found[0] if len(found) == 1 else None


def _missing_fields(answer: object) -> list[str]:
    """The fields that an error reports as missing, in the form of FastAPI or of OpenAI."""
    details = answer.get("detail", answer.get("error", answer)) if isinstance(answer, dict) else answer
    found = []
    for detail in details if isinstance(details, list) else [details]:
        if not isinstance(detail, dict):
            continue
        place, text = detail.get("loc"), f"{detail.get('type', '')} {detail.get('msg', '')} {detail.get('message', '')}"
        if not re.search(r"missing|required", text, re.IGNORECASE):
            continue
        if isinstance(place, list) and place:
            found.append(str(place[-1]))
        elif detail.get("param"):
            found.append(str(detail["param"]))
        else:
            found += re.findall(r"['\"`](\w+)['\"`]", text)
    return found
