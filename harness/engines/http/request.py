"""An HTTP request: its address, and the expected answer."""

from dataclasses import dataclass

from harness.engines.http.dialects import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The address of a server, from its URL. `host_header` is the value of the Host header."""

    scheme: str
    host: str
    port: int
    path: str
    host_header: str

    @property
    def text(self) -> str:
        """The address in messages."""
        return f"{self.scheme}://{self.host_header}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request. A 200 must hold audio in `container` at `sample_rate` (Hz); with "" any body is accepted.

    `dialect` is that of a request for speech; `left_out` are the fields that `body` omits on purpose.
    """

    method: str
    path: str
    body: bytes = b""
    dialect: Dialect | None = None
    left_out: tuple[str, ...] = ()
    container: str = ""
    sample_rate: int = 0
    max_bytes: int = 1 << 26
    keep_alive: bool = True
    headers: tuple[tuple[str, str], ...] = ()
