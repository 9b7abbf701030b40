"""Allows one measuring process at a time on a machine, because two would disturb each other.

The lock is a file in the cache folder, which all checkouts of a machine share. The operating system releases it when
its holder ends for any reason. A note beside it names the holder for people. The lock holds even if the note is missing
or stale.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.core.clock import Clock
from harness.core.errors import BenchError
from harness.core.files import write_atomically
from harness.core.record_files import read_record

POLL_S = 0.25


class MachineTakenError(BenchError):
    """Another process measures on this machine, and did not end in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The measuring process, its start (seconds since the epoch), and a description."""

    pid: int
    since: float
    what: str

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.since, tz=UTC).strftime("%H:%M:%S")
        return f"process {self.pid} ({self.what}, since {when} UTC)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The lock of one machine under a cache folder."""

    root: Path
    machine_key: str

    @property
    def lock(self) -> Path:
        return self.root / "locks" / f"measuring-{self.machine_key}.lock"

    @property
    def note(self) -> Path:
        """The file that names the holder."""
        return self.lock.with_suffix(".json")


@contextmanager
def exclusive_measurement(
    place: Place, *, what: str, wait_s: float, clock: Clock, report: Callable[[str], None]
) -> Iterator[None]:
    """Hold the machine's lock. Wait up to `wait_s` seconds for another process, and report the wait once.

    Raises MachineTakenError, which names the holder, after the wait.
    """
    from filelock import FileLock

    with _translate_errors(place):
        place.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.lock)
        _acquire(lock.acquire, place, wait_s=wait_s, clock=clock, report=report)
    try:
        _write_note(place, Holder(pid=os.getpid(), since=clock.wall(), what=what))
        yield
    finally:
        with suppress(OSError):
            place.note.unlink()
        lock.release()


def holder(place: Place) -> Holder | None:
    """The process that measures now, or None. A holder without a note has process id 0."""
    from filelock import FileLock, Timeout

    with _translate_errors(place):
        place.lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(place.lock).acquire(timeout=0):
                return None
        except Timeout:
            return _read_note(place)


def _acquire(
    acquire: Callable[..., object], place: Place, *, wait_s: float, clock: Clock, report: Callable[[str], None]
) -> None:
    from filelock import Timeout

    until_ns = clock.now_ns() + round(wait_s * 1e9)
    reported = False
    while True:
        try:
            acquire(timeout=0)
        except Timeout as error:
            found = _read_note(place)
            if clock.now_ns() >= until_ns:
                raise MachineTakenError(
                    f"{found} measures on this machine, and two measurements at once would disturb each other",
                    where=f"waited {wait_s:g} s",
                    remedy="wait for it to end, or give it longer with --wait 1h",
                ) from error
            if not reported:
                report(f"{found} measures on this machine; waiting up to {wait_s:g} s for it to end (Ctrl-C: give up)")
                reported = True
            clock.sleep(POLL_S)
        else:
            return


def _write_note(place: Place, found: Holder) -> None:
    # The note is optional: a full disk must not stop a measurement.
    with suppress(OSError):
        write_atomically(place.note, msgspec.json.encode(found), durable=False)


def _read_note(place: Place) -> Holder:
    return read_record(place.note, Holder) or Holder(pid=0, since=0.0, what="which left no note")


@contextlib.contextmanager
def _translate_errors(place: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineTakenError(
            f"the lock for exclusive measurements cannot be used ({error.strerror or error})",
            where=str(place.lock),
            remedy="make the folder writable, or name another with KOKORO_BENCH_CACHE",
        ) from error
