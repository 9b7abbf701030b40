"""A text to synthesise, and how an engine refuses or fails. Standard library alone: foreign environments load it."""

from dataclasses import dataclass

from harness.core.records.repetition import Outcome, OutcomeKind


class EngineRefusal(Exception):  # noqa: N818 - an expected outcome
    """The engine cannot be started as ordered: a package is missing, or a model is rejected. The message says why."""


class SpeechFailure(Exception):  # noqa: N818 - an expected outcome
    """A text was not synthesised, for a reason that the engine knows.

    `fault` is the engine's short name of the reason, by which failures are counted; the message is one sentence.
    `answered` is True if a server accepted the request and gave an invalid answer, which counts against its success
    rate. A server that cannot be reached or understood was not measured.
    """

    def __init__(
        self, message: str, *, fault: str, kind: OutcomeKind = OutcomeKind.ERROR, answered: bool = False
    ) -> None:
        self.fault = fault
        self.kind = kind
        self.answered = answered
        super().__init__(message)


def outcome_of(error: Exception) -> Outcome:
    """The outcome for an exception of an engine. A `SpeechFailure` keeps its fault; any other exception is an error."""
    if isinstance(error, SpeechFailure):
        return Outcome(kind=error.kind, reason=str(error), fault=error.fault)
    return Outcome(kind=OutcomeKind.ERROR, reason=one_line(error))


def one_line(error: BaseException) -> str:
    """The error's kind and message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """One text to synthesise. With `stream`, chunks are yielded as they are made; otherwise one chunk holds all.

    `language` is a tag such as "en-gb". With "", a server chooses it, and an engine in process takes
    `languages.spoken_language`.
    """

    text: str
    voice: str
    speed: float = 1.0
    language: str = ""
    is_phonemes: bool = False
    stream: bool = False
