"""How an exchange over HTTP can fail: each fault has a name by which it is counted, and one sentence."""

from enum import StrEnum

from harness.core.records.repetition import OutcomeKind
from harness.engines.speech import SpeechFailure


class Fault(StrEnum):
    """The names. An answer with an error status is named by it, as in "http-503"."""

    REFUSED = "refused"
    """Nobody listens there, or the way there is closed."""
    DNS = "dns"
    TLS = "tls"
    TIMEOUT_CONNECT = "timeout-connect"
    TIMEOUT_IDLE = "timeout-idle"
    TIMEOUT_TOTAL = "timeout-total"
    CLOSED = "closed"
    """The connection ended before an answer began."""
    NOT_HTTP = "not-http"
    REDIRECT = "redirect"
    DIALECT = "dialect"
    """The server wants the other dialect."""
    NOT_AUDIO = "not-audio"
    FORMAT = "format"
    """Audio, but with another sample rate, channel count or container than was announced."""
    TRUNCATED = "truncated"
    TOO_LARGE = "too-large"


_TIMEOUTS = frozenset({Fault.TIMEOUT_CONNECT, Fault.TIMEOUT_IDLE, Fault.TIMEOUT_TOTAL})
_INVALID = frozenset({Fault.NOT_AUDIO, Fault.FORMAT, Fault.TRUNCATED})
_ANSWERED = _INVALID | {Fault.CLOSED, Fault.TOO_LARGE}
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = range(500, 600)
"""Other statuses than these two say that the request was wrong, or its address."""


class EndpointFault(SpeechFailure):
    """One exchange failed. `status` is the answer's where there was one."""

    def __init__(self, fault: Fault | str, sentence: str, *, status: int | None = None) -> None:
        self.status = status
        failed = status is not None and (status == TOO_MANY_REQUESTS or status in SERVER_ERRORS)
        super().__init__(sentence, fault=str(fault), kind=_kind(fault), answered=failed or fault in _ANSWERED)


def status_fault(status: int, sentence: str) -> EndpointFault:
    """An answer with an error status."""
    return EndpointFault(f"http-{status}", sentence, status=status)


def _kind(fault: Fault | str) -> OutcomeKind:
    if fault in _TIMEOUTS:
        return OutcomeKind.TIMEOUT
    return OutcomeKind.INVALID_AUDIO if fault in _INVALID else OutcomeKind.ERROR


def excerpt(body: bytes, limit: int = 160) -> str:
    """The beginning of a body in a message: text on one line, or its first bytes in hexadecimal."""
    if not body:
        return "nothing"
    text = body[: 4 * limit].decode("utf-8", errors="replace")
    if text.count("�") > 2 or any(ord(char) < 32 and char not in "\t\r\n" for char in text):
        return f"bytes {body[:16].hex(' ')}"
    line = " ".join(text.split())
    return repr(line if len(line) <= limit else line[:limit] + "…")
