"""Finds the process of the server at an address of this machine."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address

from harness.engines.http.request import Address
from harness.engines.protocol import ServerProcess

ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


def find_server(address: Address, *, pid: int = 0) -> ServerProcess:
    """The process that listens at the address, or the configured process `pid`; otherwise why it is unknown.

    If several processes share a listening socket, as the workers of a pre-forking server do, it is the one that started
    first, whose tree contains the others.
    """
    import psutil

    if pid:
        try:
            return ServerProcess(pid=pid, found=f"{psutil.Process(pid).name()} ({pid}), as configured")
        except psutil.Error:
            return ServerProcess(pid=None, found=f"process {pid}, as configured, does not exist")
    places = _resolve(address)
    if not any(ip_address(place.partition("%")[0]).is_loopback for place in places) and not places & _own_addresses():
        return ServerProcess(pid=None, found="unknown: the server is on another machine")
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return ServerProcess(
            pid=None, found="unknown: this platform does not tell who listens at a port; name the process by --pid"
        )
    listening = {
        each.pid
        for each in connections
        if each.status == psutil.CONN_LISTEN
        and each.laddr
        and each.laddr.port == address.port
        and (each.laddr.ip in ANY_ADDRESS or each.laddr.ip.removeprefix("::ffff:") in places)
    }
    pids = sorted(found for found in listening if found is not None)
    if not pids:
        why = "belongs to another user" if listening else f"at port {address.port} is not visible here"
        return ServerProcess(pid=None, found=f"unknown: the listener {why}; name the process by --pid")
    first = _first_started(pids)
    return ServerProcess(pid=first, found=f"{_name(first)} ({first}), which listens at port {address.port}")


def _first_started(pids: Iterable[int]) -> int:
    import psutil

    def started(pid: int) -> float:
        try:
            return psutil.Process(pid).create_time()
        except psutil.Error:
            return float("inf")

    return min(pids, key=started)


def _name(pid: int) -> str:
    import psutil

    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "a process"


def _resolve(address: Address) -> set[str]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(place[0]) for *_, place in found}


def _own_addresses() -> set[str]:
    """The addresses of this machine's interfaces."""
    import psutil

    return {each.address.partition("%")[0] for found in psutil.net_if_addrs().values() for each in found}
