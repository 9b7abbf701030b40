"""A blocking connection to an endpoint. Only the given address is ever contacted.

It reads the socket itself, without httpx: each read gets its own stamp, and a worker's environment may have no httpx.
"""

import contextlib
import select
import socket
import ssl
from typing import TYPE_CHECKING, Any

from harness.engines.http.errors import EndpointFault, Fault
from harness.engines.http.exchange import READ_SIZE, AudioChunk, Exchange
from harness.engines.http.request import Address, HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.core.clock import Clock
    from harness.engines.http.target import Settings
    from harness.engines.protocol import Stages


class Connection:
    """One connection at a time. It is opened again if the server has closed it between two requests."""

    def __init__(self, address: Address, settings: "Settings", *, clock: "Clock", stages: "Stages") -> None:
        self._address = address
        self._settings = settings
        self._clock = clock
        self._stages = stages
        self._socket: socket.socket | None = None

    def send(self, request: HttpRequest) -> "tuple[Exchange, Iterator[AudioChunk]]":
        """An exchange, and an iterator over its audio. The request is sent when the iterator is started.

        A connection that cannot be used again is closed in any case. EndpointFault for every failure.
        """
        exchange = Exchange(address=self._address, request=request)
        return exchange, self._exchange_chunks(exchange)

    def connect(self) -> None:
        """Connect now. The connection is kept open if the settings keep connections alive."""
        self._connection()
        if not self._settings.keep_alive:
            self.close()

    def interrupt(self) -> None:
        """End an exchange that runs in another thread: it fails there as if the server had closed the connection."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange_chunks(self, exchange: Exchange) -> "Iterator[AudioChunk]":
        deadline = self._clock.now_ns() + round(self._settings.total_timeout * 1e9)
        finished = False
        try:
            connection = self._connection()
            self._send(connection, exchange)
            while not exchange.done:
                data = self._read(connection, exchange, deadline)
                yield from exchange.receive(data, self._clock.now_ns())
            finished = True
        finally:
            if not (finished and exchange.reusable and self._settings.keep_alive):
                self.close()

    def _connection(self) -> socket.socket:
        """The open connection if it is still usable, otherwise a new one: the stage "connect"."""
        if self._socket is not None and _closed_by_peer(self._socket):
            self.close()
        if self._socket is None:
            with self._stages.stage("connect"):
                self._socket = open_socket(self._address, timeout=self._settings.connect_timeout, clock=self._clock)
        return self._socket

    def _send(self, connection: socket.socket, exchange: Exchange) -> None:
        try:
            connection.settimeout(self._settings.idle_timeout)
            connection.sendall(exchange.request_bytes())
        except TimeoutError as error:
            raise EndpointFault(
                Fault.TIMEOUT_IDLE, f"the server did not take the request within {self._settings.idle_timeout:g} s"
            ) from error
        except ConnectionError:
            # The server may still have answered, for example to refuse a large request: reading shows it.
            return
        except OSError as error:
            raise exchange.lost(error) from error

    def _read(self, connection: socket.socket, exchange: Exchange, deadline: int) -> bytes:
        idle = self._settings.idle_timeout
        left = (deadline - self._clock.now_ns()) / 1e9
        try:
            if left <= 0:
                raise TimeoutError
            connection.settimeout(min(idle, left))
            return connection.recv(READ_SIZE)
        except ssl.SSLEOFError:
            return b""
        except TimeoutError as error:
            raise exchange.timed_out(self._settings, whole=left <= idle) from error
        except OSError as error:
            raise exchange.lost(error) from error


def open_socket(address: Address, *, timeout: float, clock: "Clock") -> socket.socket:
    """Resolve the name, connect, and negotiate TLS if the scheme is https, within `timeout` seconds.

    The system's resolver has no time-out: if it takes longer than `timeout`, connecting fails at once.
    """
    deadline = clock.now_ns() + round(timeout * 1e9)
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise name_fault(address, error) from error
    connection = _connect_first(found, address, deadline=deadline, timeout=timeout, clock=clock)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.scheme == "http":
            return connection
        connection.settimeout(_left(deadline, clock))
        return ssl.create_default_context().wrap_socket(connection, server_hostname=address.host)
    except TimeoutError as error:
        connection.close()
        raise connect_timeout(address, timeout, doing="TLS") from error
    except (ssl.SSLError, OSError) as error:
        connection.close()
        raise tls_fault(address, error) from error


def _connect_first(
    found: "Sequence[tuple[int, int, int, str, Any]]",
    address: Address,
    *,
    deadline: int,
    timeout: float,
    clock: "Clock",
) -> socket.socket:
    """A connection to the first of the addresses that accepts one."""
    failure: OSError | None = None
    for family, kind, protocol, _, place in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(deadline, clock))
            connection.connect(place)
        except OSError as error:
            connection.close()
            failure = error
            continue
        return connection
    raise connection_fault(address, failure, timeout) from failure


def name_fault(address: Address, error: Exception) -> EndpointFault:
    """The fault of a host name that does not resolve."""
    reason = getattr(error, "strerror", None) or error
    return EndpointFault(Fault.DNS, f"the name {address.host!r} does not resolve: {reason}")


def connection_fault(address: Address, failure: OSError | None, timeout: float) -> EndpointFault:
    """The fault of a connection that could not be made. `failure` is None if the host name has no address."""
    if isinstance(failure, TimeoutError):
        return connect_timeout(address, timeout)
    reason = failure.strerror if failure is not None else "its name has no address"
    return EndpointFault(Fault.REFUSED, f"cannot connect to {address.text}: {reason}")


def connect_timeout(address: Address, timeout: float, *, doing: str = "connection") -> EndpointFault:
    """The fault of a connection, or of its TLS, that took longer than `timeout` seconds."""
    return EndpointFault(Fault.TIMEOUT_CONNECT, f"no {doing} with {address.text} within {timeout:g} s")


def tls_fault(address: Address, error: Exception) -> EndpointFault:
    """The fault of a failed TLS negotiation, with OpenSSL's reason if it gives one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted ({error.verify_message})"
    elif isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        reason = "it does not speak TLS; perhaps the address begins with http://"
    else:
        reason = str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
    return EndpointFault(Fault.TLS, f"no TLS with {address.text}: {reason}")


def _left(deadline: int, clock: "Clock") -> float:
    """Seconds until the deadline. TimeoutError after it, because a time-out of 0 makes a socket non-blocking."""
    left = (deadline - clock.now_ns()) / 1e9
    if left <= 0:
        raise TimeoutError
    return left


def _closed_by_peer(connection: socket.socket) -> bool:
    """Whether an idle connection is readable: the server has closed it, or sent bytes that belong to no answer."""
    with contextlib.suppress(OSError, ValueError):
        poller = select.poll() if hasattr(select, "poll") else None
        if poller is not None:
            # select() does not support descriptors from 1024 on.
            poller.register(connection, select.POLLIN)
            return bool(poller.poll(0))
        return bool(select.select([connection], [], [], 0)[0])
    return True
