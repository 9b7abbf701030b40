"""Standard output and error that never end a command: unsupported characters are replaced, failed writes are lost.

A measurement takes minutes and its verdict is the exit code. A closed pipe, a full disk behind a redirection, a closed
stream, or an encoding without the minus sign must cost neither.
"""

import codecs
import io
import os
import select
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

HANDLER = "kokoro-bench"
"""The name under which `replaced` is registered with Python's codecs."""
ASCII = "kokoro-bench-ascii"
"""ASCII under another name: Click takes a stream whose encoding is called ASCII for a mistake, and writes UTF-8."""

PLAIN = str.maketrans({
    "−": "-", "–": "-", "—": "-", "─": "-", "━": "-", "…": "...", "×": "x", "±": "+-", "→": "->", "←": "<-",
    "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~", "✓": "+", "✗": "x", "▲": "^", "▼": "v", "●": "*", "•": "*", "·": ".",
    "σ": "sigma", "τ": "tau", "α": "alpha", "γ": "gamma", "ρ": "rho", "Σ": "Sum", "µ": "u", "μ": "u",
    "“": '"', "”": '"', "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{NO-BREAK SPACE}": " ", "\N{THIN SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": " ",
})  # fmt: skip
"""What a sign of ours becomes where it cannot be shown. A figure keeps its sign: −6.2 % must not be read as ?6.2 %."""


def replaced(error: UnicodeError) -> tuple[str, int]:
    """A handler of encoding errors: the plain equivalent, the letter without its accent, else a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    letters = unicodedata.normalize("NFKD", text)
    shown = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return shown.encode("ascii", "replace").decode("ascii"), error.end


@dataclass(slots=True)
class Losses:
    """Failed writes: the name of a stream → the reason. A closed pipe does not count."""

    found: dict[str, str] = field(default_factory=dict)

    def add(self, stream: str, error: OSError) -> None:
        """Record the failure, unless the reader has closed the pipe."""
        if not isinstance(error, BrokenPipeError):
            self.found.setdefault(stream, error.strerror or str(error))


class _Steady(io.BufferedIOBase):
    """The bytes of a stream: after the first that cannot be written, all others go nowhere."""

    def __init__(self, raw: BinaryIO, *, name: str, losses: Losses) -> None:
        self.raw_stream = raw
        self._name = name
        self._losses = losses
        self._lost = False

    @property
    def name(self) -> str:
        """What it is called in a message."""
        return self._name

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.raw_stream.fileno()

    def isatty(self) -> bool:
        return self.raw_stream.isatty()

    def write(self, data: "Buffer", /) -> int:
        """Write all of `data`, or drop it and everything after it."""
        rest = memoryview(data).cast("B")
        while rest and not self._lost:
            try:
                rest = rest[self.raw_stream.write(rest) :]
            except BlockingIOError as error:  # whoever made the pipe made it one that does not wait
                rest = rest[error.characters_written :]
                select.select([], [self.fileno()], [])
            except OSError as error:
                self._lose(error)
        return memoryview(data).nbytes

    def flush(self) -> None:
        while not self._lost:
            try:
                self.raw_stream.flush()
            except BlockingIOError:
                select.select([], [self.fileno()], [])
            except OSError as error:
                self._lose(error)
            else:
                return

    def close(self) -> None:
        """The stream below belongs to Python, which closes it."""
        self.flush()

    def _lose(self, error: OSError) -> None:
        self._lost = True
        self._losses.add(self._name, error)
        self._discard()

    def settle(self) -> None:
        """Before the command ends: whoever captured the descriptor, as pytest does, has put the old one back."""
        if self._lost:
            self._discard()

    def _discard(self) -> None:
        # What Python still holds for the stream is written when it ends, and processes of ours inherit the stream.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self.raw_stream.fileno())
        finally:
            os.close(nowhere)


@contextmanager
def steady_streams() -> Iterator[Losses]:
    """Standard output and error as they are described above; gives what could not be written, as of its end."""
    _register()
    losses = Losses()
    _open_missing()
    before = (sys.stdin, sys.stdout, sys.stderr)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the command
    sys.stdout, sys.stderr = _steady(sys.stdout, 1, losses), _steady(sys.stderr, 2, losses)
    try:
        yield losses
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            if isinstance(steady := getattr(stream, "buffer", None), _Steady):
                steady.settle()
        sys.stdin, sys.stdout, sys.stderr = before


def _steady(stream: TextIO | None, descriptor: int, losses: Losses) -> TextIO:
    if stream is None:  # it was closed when Python started
        return open(descriptor, "w", encoding="utf-8", errors=HANDLER, closefd=False)
    raw = getattr(stream, "buffer", None)
    if raw is None or isinstance(raw, _Steady):  # a stand-in that takes any text; or ours already
        return stream
    stream.flush()
    name = "standard output" if descriptor == 1 else "standard error"
    encoding = stream.encoding
    return io.TextIOWrapper(
        _Steady(raw, name=name, losses=losses),
        encoding=ASCII if codecs.lookup(encoding).name == "ascii" else encoding,
        errors=HANDLER,
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )


def _open_missing() -> None:
    """Give every standard stream that is closed a descriptor that leads nowhere: a database must not become stdout."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one


def _register() -> None:
    codecs.register_error(HANDLER, replaced)
    try:
        codecs.lookup(ASCII)
    except LookupError:
        codecs.register(_ascii)


def _ascii(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != ASCII:
        return None
    plain = codecs.lookup("ascii")
    return codecs.CodecInfo(
        plain.encode,
        plain.decode,
        streamreader=plain.streamreader,
        streamwriter=plain.streamwriter,
        incrementalencoder=plain.incrementalencoder,
        incrementaldecoder=plain.incrementaldecoder,
        name=ASCII,
    )
