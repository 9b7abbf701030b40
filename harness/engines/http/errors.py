"""The faults of an exchange over HTTP. They are counted by their names."""

from enum import StrEnum

from harness.core.records.repetition import OutcomeKind
from harness.engines.speech import SpeechFailure


class Fault(StrEnum):
    """The names of faults. A fault with an error status is named by the status, as in "http-503"."""

    REFUSED = "refused"
    """No server listens at the address, or it cannot be reached."""
    DNS = "dns"
    TLS = "tls"
    TIMEOUT_CONNECT = "timeout-connect"
    TIMEOUT_IDLE = "timeout-idle"
    TIMEOUT_TOTAL = "timeout-total"
    CLOSED = "closed"
    """The connection was closed before an answer began."""
    NOT_HTTP = "not-http"
    REDIRECT = "redirect"
    DIALECT = "dialect"
    """The server wants the other dialect."""
    NOT_AUDIO = "not-audio"
    FORMAT = "format"
    """Audio with another sample rate, channel count or container than was requested, or with foreign bytes in it."""
    TRUNCATED = "truncated"
    TOO_LARGE = "too-large"


_TIMEOUTS = frozenset({Fault.TIMEOUT_CONNECT, Fault.TIMEOUT_IDLE, Fault.TIMEOUT_TOTAL})
_INVALID = frozenset({Fault.NOT_AUDIO, Fault.FORMAT, Fault.TRUNCATED})
_ANSWERED = _INVALID | {Fault.CLOSED, Fault.TOO_LARGE}
EXCERPT = 160
"""The most characters of an excerpt."""
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = range(500, 600)
"""Any other error status means that the request or its address was wrong."""


class EndpointFault(SpeechFailure):
    """A failed exchange. `status` is that of the answer, if there was one."""

    def __init__(self, fault: Fault | str, sentence: str, *, status: int | None = None) -> None:
        self.status = status
        failed = status is not None and (status == TOO_MANY_REQUESTS or status in SERVER_ERRORS)
        super().__init__(sentence, fault=str(fault), kind=_kind(fault), answered=failed or fault in _ANSWERED)


def status_fault(status: int, sentence: str) -> EndpointFault:
    """The fault of an answer with an error status."""
    return EndpointFault(f"http-{status}", sentence, status=status)


def cut_short(counted: str, came: str) -> EndpointFault:
    """The fault of a body that ends before its header says, if only the closed connection marks its end."""
    return EndpointFault(
        Fault.TRUNCATED, f"{counted}, {came} came, and nothing but the closed connection says that this was all"
    )


def _kind(fault: Fault | str) -> OutcomeKind:
    if fault in _TIMEOUTS:
        return OutcomeKind.TIMEOUT
    return OutcomeKind.INVALID_AUDIO if fault in _INVALID else OutcomeKind.ERROR


def excerpt(body: bytes) -> str:
    """The beginning of a body for a message: one line of text, or the first bytes in hexadecimal."""
    if not body:
        return "nothing"
    text = body[: 4 * EXCERPT].decode("utf-8", errors="replace")
    if text.count("�") > 2 or any(ord(char) < 32 and char not in "\t\r\n" for char in text):
        return f"bytes {body[:16].hex(' ')}"
    line = " ".join(text.split())
    return repr(line if len(line) <= EXCERPT else line[:EXCERPT] + "…")
