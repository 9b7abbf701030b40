"""Starts, monitors and ends runs as processes. Each has its own session, so that Ctrl-C reaches only the daemon."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from harness.core.cache_root import ROOT_VARIABLE, default_root
from harness.core.comma_lists import join_list
from harness.core.errors import MeasurementError
from harness.measure.conductor.event_file import EVENTS_VARIABLE
from harness.measure.conductor.shutdown import UNTIL_VARIABLE
from harness.plan.config import ENVIRONMENT_PREFIX, Config
from harness.plan.keys import KEYS
from harness.schedule.job import EXPLAIN_S, Job
from harness.store.liveness import process_alive

GO: Final = "go\n"
"""The start signal, sent when the process is recorded."""

PYTHON: Final = (sys.executable, "-P", "-X", "utf8", "-m")
"""-P: files in the project's directory must not shadow packages."""
COMMAND: Final = (*PYTHON, "harness.cli.scheduled_run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended. `code` is None if it was another process's child, whose exit code is unknown."""

    code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A run to start: the command's arguments, its log, and the end of its time limit (s since the epoch)."""

    arguments: tuple[str, ...]
    directory: Path
    log: Path
    until: float

    @property
    def events(self) -> Path:
        """The file with the run's progress."""
        return events_of(self.log)


class Process(Protocol):
    """The process of one run."""

    @property
    def pid(self) -> int: ...

    def go(self) -> None:
        """Send the start signal."""
        ...

    def poll(self) -> Exit | None:
        """How the process ended; None while it runs."""
        ...

    def terminate(self) -> None:
        """Request the process to end."""
        ...

    def kill(self) -> None: ...


class Launcher(Protocol):
    """Starts runs."""

    def start(self, order: Order) -> Process:
        """Start a process. It runs the command after the start signal."""
        ...

    def adopt(self, pid: int, started_at: float) -> Process | None:
        """The process of a run that another scheduler started, if it still runs."""
        ...


def events_of(log: Path) -> Path:
    """The file of a run's events, beside its log."""
    return log.with_suffix(".events")


def arguments_of(job: Job, config: Config, *, wait_s: float) -> tuple[str, ...]:
    """The arguments of `kokoro-bench` for a job."""
    budget = {"budget": f"{job.budget_s:g}"} if job.budget_s else {}
    named = _named({**_shared(config, wait_s), **budget, **dict(job.options)})
    return ("run", f"--{job.selection}", *named, *(("-k", job.expression) if job.expression else ()))


def confirmation_arguments(keys: Sequence[int], job: Job, config: Config, *, wait_s: float) -> tuple[str, ...]:
    """The arguments of `kokoro-bench` for the duels that confirm the alerts `keys`, found by a run of a job."""
    given = _shared(config, wait_s) | {"budget": f"{job.confirm_s:g}"}
    return ("schedule", "confirm", *_named(given), *map(str, keys))


def explanation_arguments(key: int, config: Config, *, wait_s: float) -> tuple[str, ...]:
    """The arguments of `kokoro-bench` for the bisection of an alert's change."""
    given = _shared(config, wait_s) | {"budget": f"{EXPLAIN_S:g}"}
    return ("schedule", "explain", *_named(given), str(key))


def _shared(config: Config, wait_s: float) -> dict[str, str]:
    """The options that the processes of all jobs get."""
    return {
        "results": config.results,
        "baselines": str(config.baselines),
        "report": str(config.report),
        "wait": f"{wait_s:g}",
    }


def _named(given: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in given.items())


def absolute_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process in another folder: relative paths become absolute."""
    found = dict(environment)
    for key in KEYS:
        variable = ENVIRONMENT_PREFIX + key.name.upper().replace("-", "_")
        if key.place is not None and (text := found.get(variable, "").strip()):
            placed = key.place(key.parse(text), Path.cwd(), variable)
            found[variable] = join_list(placed) if key.many else placed
    if found.get(ROOT_VARIABLE, "").strip():
        found[ROOT_VARIABLE] = str(default_root())
    return found


def command_environment() -> dict[str, str]:
    """The environment of a command of this installation in another folder."""
    environment = absolute_variables(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        part for part in (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")) if part
    )
    return environment


class SystemLauncher:
    """Real processes."""

    def start(self, order: Order) -> Process:
        """Start a process. Raises MeasurementError if the system refuses."""
        environment = command_environment() | {EVENTS_VARIABLE: str(order.events), UNTIL_VARIABLE: repr(order.until)}
        try:
            with order.log.open("ab") as log:
                process = subprocess.Popen(
                    [*COMMAND, *order.arguments],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=order.directory,
                    env=environment,
                    start_new_session=os.name == "posix",
                )
        except OSError as error:
            raise MeasurementError(
                f"the run cannot be started: {error.strerror or error}", where=str(order.log)
            ) from error
        return _Own(process)

    def adopt(self, pid: int, started_at: float) -> Process | None:
        """The running process with this id, if it can be the one that was recorded."""
        return _Adopted(pid=pid, started_at=started_at) if process_alive(pid, started_at) else None


class _Own:
    """A child."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> None:
        # A child that is gone already says so when it is polled.
        with suppress(OSError):
            assert self._process.stdin is not None  # noqa: S101 - for the type checker; it was asked for as a pipe
            self._process.stdin.write(GO.encode())
            self._process.stdin.close()

    def poll(self) -> Exit | None:
        code = self._process.poll()
        return None if code is None else Exit(code=code)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adopted:
    """Another process's child, identified by its id and start."""

    pid: int
    started_at: float

    def go(self) -> None:
        """Do nothing: the run has already begun."""

    def poll(self) -> Exit | None:
        return None if process_alive(self.pid, self.started_at) else Exit(code=None)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(getattr(signal, "SIGKILL", signal.SIGTERM))

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def last_line(log: Path, *, most: int = 4_096) -> str:
    """The last line of a log that is not empty."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - most))
            lines = file.read().splitlines()
    except OSError:
        return ""
    return next((text for line in reversed(lines) if (text := line.decode(errors="replace").strip())), "")
