"""One HTTP request: the address it goes to, and what its answer has to hold."""

from dataclasses import dataclass

from harness.engines.http.dialects import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where requests go, as given by the URL. `host_header` is the value of the Host header."""

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
    """One request. `container` and `sample_rate` (Hz) say what a 200 has to hold; "" takes any body.

    A `dialect` says that `body` is a request for speech in it; `left_out` are the fields that it lacks on purpose.
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
