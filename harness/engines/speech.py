"""A text to synthesise, and how an engine refuses or fails. Standard library alone: foreign environments load it."""

from dataclasses import dataclass

from harness.core.records.repetition import Outcome, OutcomeKind


class EngineRefusal(Exception):  # noqa: N818 - it is an answer, not an accident
    """The engine cannot be started as asked: a missing package or provider, a rejected model. The message says why."""


class SpeechFailure(Exception):  # noqa: N818 - it is an answer, not an accident
    """A text was not spoken, for a reason that the engine can name.

    `fault` is the engine's short name for it, by which failures are counted; the message is one sentence. `answered`
    says that a server took the request and gave a bad answer: that counts against its success rate, whereas a server
    that cannot be reached or understood has not been measured at all.
    """

    def __init__(
        self, message: str, *, fault: str, kind: OutcomeKind = OutcomeKind.ERROR, answered: bool = False
    ) -> None:
        self.fault = fault
        self.kind = kind
        self.answered = answered
        super().__init__(message)


def outcome_of(error: Exception) -> Outcome:
    """What an engine raised, as an outcome."""
    if isinstance(error, SpeechFailure):
        return Outcome(kind=error.kind, reason=str(error), fault=error.fault)
    return Outcome(kind=OutcomeKind.ERROR, reason=one_line(error))


def one_line(error: BaseException) -> str:
    """The error's kind and message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """One text to speak. `stream` asks for chunks as they come; otherwise one chunk holds all.

    `language` is a tag such as "en-gb"; "" leaves it to whoever speaks: a server to itself, an engine in process to
    `languages.spoken_language`.
    """

    text: str
    voice: str
    speed: float = 1.0
    language: str = ""
    is_phonemes: bool = False
    stream: bool = False
