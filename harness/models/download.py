"""Downloading the published models: resumed where they stopped, named only once their digest is right."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.core.errors import ModelError
from harness.models.cache import Cache
from harness.models.files import sha256_of
from harness.models.public import Asset, PublicModel

if TYPE_CHECKING:
    import httpx

Progress = Callable[[int, int], None]
"""Receives the bytes that are here and the bytes in all, over all files of the model."""

MOST_FRUITLESS = 4
"""Attempts in a row that may bring nothing before we give up."""
TIMEOUT_S = 30.0
CONNECT_S = 5.0
FIRST_ANSWER_S = 10.0
"""A server that accepts connections and answers nothing counts as unreachable after this time."""


def unwatched(done_bytes: int, total_bytes: int, /) -> None:
    """A `Progress` that nobody watches."""


def _client() -> "httpx.Client":
    import httpx

    return httpx.Client(follow_redirects=True, timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDownload:
    """The files of one model on their way from its release.

    `unreachable` holds the error once the server could not be connected to; then it need not be tried again.
    """

    model: PublicModel
    cache: Cache
    progress: Progress
    base_url: str
    pause: Callable[[float], None]
    unreachable: list[ModelError] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    """The status of each answer."""

    def partial(self, asset: Asset) -> Path:
        """Where the bytes of an asset gather: by its digest, since two releases share their file names."""
        return self.cache.models / f".part-{asset.sha256[:16]}"

    def get(self, asset: Asset, wanted: list[Asset]) -> Path:
        """All bytes of an asset, their digest checked, still under a name that is no model's.

        `wanted` are all assets of the download, for the progress. What an earlier attempt left is not requested again.
        Raises ModelError without a network, for a release that lacks the file, and for bytes with another digest.
        """
        with _client() as client:
            return self._get(asset, client, wanted)

    def _get(self, asset: Asset, client: "httpx.Client", wanted: list[Asset]) -> Path:
        part = self.partial(asset)
        if not part.is_file() or part.stat().st_size != asset.size:
            self._check_name_service(asset)
        before = sum(other.size for other in wanted[: wanted.index(asset)])
        total = sum(other.size for other in wanted)

        def progress(size: int) -> None:
            self.progress(before + size, total)

        resumed = part.is_file() and part.stat().st_size > 0
        self._receive(asset, part, client, progress)
        sha256 = sha256_of(part)
        if sha256 != asset.sha256 and resumed:
            # The earlier bytes may be of a file that has been replaced since: once more, from the first byte on.
            part.unlink()
            self._receive(asset, part, client, progress)
            sha256 = sha256_of(part)
        if sha256 != asset.sha256:
            part.unlink()
            raise self._error(
                asset, f"what came has the SHA-256 {sha256[:12]}… and the catalogue says {asset.sha256[:12]}…"
            )
        return part

    def _receive(self, asset: Asset, part: Path, client: "httpx.Client", progress: Callable[[int], None]) -> None:
        import httpx

        fruitless, reason = 0, ""
        while (have := part.stat().st_size if part.is_file() else 0) < asset.size:
            if fruitless == MOST_FRUITLESS:
                raise self._error(asset, f"the download does not go on after {have:,} bytes: {reason}")
            if fruitless:
                self.pause(2.0 ** (fruitless - 1))
            progress(have)
            try:
                reason = self._receive_once(asset, part, client, progress, have=have) or "the connection ended early"
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
                raise self._no_way(asset, str(error) or type(error).__name__) from error
            except httpx.ReadTimeout as error:
                if not self.answered:
                    raise self._no_way(asset, f"it does not answer within {FIRST_ANSWER_S:g} s") from error
                reason = str(error) or type(error).__name__
            except (httpx.TransportError, httpx.TooManyRedirects) as error:
                reason = str(error) or type(error).__name__
            grown = part.is_file() and part.stat().st_size > have
            fruitless = 0 if grown else fruitless + 1
        if part.stat().st_size > asset.size:
            size = part.stat().st_size
            part.unlink()
            raise self._error(asset, f"what came is longer ({size:,} bytes) than the catalogue says ({asset.size:,})")
        progress(asset.size)

    def _receive_once(
        self, asset: Asset, part: Path, client: "httpx.Client", progress: Callable[[int], None], *, have: int
    ) -> str:
        """One request for what is missing; a reason where the answer brought nothing, else ""."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        request = client.build_request("GET", asset.url(self.base_url), headers=headers)
        if not self.answered:
            request.extensions["timeout"]["read"] = FIRST_ANSWER_S
        with contextlib.closing(client.send(request, stream=True)) as answer:
            self.answered.append(answer.status_code)
            if answer.status_code in (404, 410):
                raise self._error(asset, f"the server has no such file (HTTP {answer.status_code})")
            continues = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
                f"bytes {have}-"
            )
            if answer.status_code in (206, 416) and not continues:
                part.unlink(missing_ok=True)
                return f"an answer to another range than asked for (HTTP {answer.status_code})"
            if answer.status_code >= 500 or answer.status_code == 429:
                return f"the server cannot now (HTTP {answer.status_code})"
            if not answer.is_success:
                raise self._error(asset, f"the server refuses (HTTP {answer.status_code})")
            with part.open("ab" if continues else "wb") as file:
                for chunk in answer.iter_raw():  # as it comes: what is gathered first is lost with the connection
                    file.write(chunk)
                    progress(min(file.tell(), asset.size))
                    if file.tell() > asset.size:
                        break
        return ""

    def _check_name_service(self, asset: Asset) -> None:
        """Raise ModelError where the name service does not answer in time. httpx's time-outs do not bound this."""
        from urllib.request import getproxies

        address = urlsplit(self.base_url)
        if not address.hostname or address.scheme in getproxies() or "all" in getproxies():
            return  # the proxy looks it up
        if not _resolves(address.hostname):
            raise self._no_way(asset, f"the name service does not answer within {CONNECT_S:g} s")

    def _no_way(self, asset: Asset, reason: str) -> ModelError:
        self.unreachable.append(self._error(asset, f"no network, or no way to the server: {reason}"))
        return self.unreachable[0]

    def _error(self, asset: Asset, what: str) -> ModelError:
        return ModelError(what, where=asset.url(self.base_url), remedy=f"try again (it resumes), or {self.by_hand}")

    @property
    def by_hand(self) -> str:
        """What a user can do where no download works."""
        addresses = " and ".join(one.url(self.base_url) for one in (self.model.model, self.model.voices))
        return (
            f"download {addresses} by hand and use "
            f"kokoro-bench run --model {self.model.model.file} --voices {self.model.voices.file}"
        )


def _resolves(host: str) -> bool:
    """Whether the name service answers in time. An answer may be an error, which the connection then meets, too."""

    def look_up() -> None:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(host, None)

    thread = threading.Thread(target=look_up, daemon=True)  # it cannot be interrupted and must not delay the exit
    thread.start()
    thread.join(CONNECT_S)
    return not thread.is_alive()
