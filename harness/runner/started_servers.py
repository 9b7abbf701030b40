"""Prepares the servers that a run starts: their source and setup, the folder of their logs, and how they ended.

A server of a revision runs in a checkout of the repository, in the directory that corresponds to its own.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from harness.core.errors import MeasurementError, UsageError
from harness.core.output_files import check_directory
from harness.core.records.scenario import Arm
from harness.engines.started.command import PORT, ServerCommand
from harness.engines.started.supervisor import MARK
from harness.plan.config import ENVIRONMENT_PREFIX, Config
from harness.plan.servers import ServerSettings, find_server

KEPT_VARIABLES = ("CACHE", "OFFLINE")
"""Variables of ours that a server of this project reads. The others configure the measurement, not the server."""
KEPT_RUNS = 30
"""Runs whose logs are kept."""
SETUP_TIMEOUT_S = 1_800.0
TAIL_LINES = 10


@dataclass(kw_only=True)
class StartedServers:
    """The servers of one run. Each is prepared once, whatever the number of its launches."""

    config: Config
    report: Callable[[str], None]
    _logs: str = ""
    _prepared: dict[tuple[str, str], ServerCommand] = field(default_factory=dict)

    def prepare(self, arm: Arm) -> None:
        """Check the command of an arm's server and run its setup commands.

        They run once for each run in the work tree, and once for all runs in a checkout of a revision. UsageError if
        the command, its directory or a command of the setup does not exist; MeasurementError if the setup fails.
        """
        name, key = arm.server, (arm.server, arm.revision)
        if key in self._prepared:
            return
        settings = find_server(self.config, name)
        folder, once = settings.folder(self.config.root), None
        if arm.revision:
            checked_out, folder = self._in_checkout(arm.revision, folder, where=settings.where)
            settings = replace(settings, where=f"{settings.where}, revision {arm.source or arm.revision}")
            setup = sha256(repr((settings.setup, settings.env)).encode()).hexdigest()[:12]
            once = checked_out / f".kokoro-bench-setup-{name}-{setup}"
        if not folder.is_dir():
            raise UsageError(f"{settings.cwd or folder} is no directory", where=settings.where, remedy="correct cwd")
        inherited = _inherited()
        environment = {**inherited, **dict(settings.env)}
        if once is None or not once.exists():
            self._set_up(settings, folder, environment)
            if once is not None:
                once.touch()
        program = _find(settings.command[0], folder, environment, where=settings.where)
        self._prepared[key] = ServerCommand(
            name=name,
            command=(program, *settings.command[1:]),
            cwd=str(folder),
            environment=dict(settings.env),
            inherited=inherited,
            ready=settings.ready,
            timeout_s=settings.timeout,
            stop_signal=settings.stop_signal,
            stop_timeout_s=settings.stop_timeout,
            port=settings.port,
            logs=self.log_folder(),
        )

    def order(self, arm: Arm) -> ServerCommand:
        """The command of an arm's server, for its worker."""
        self.prepare(arm)
        return self._prepared[arm.server, arm.revision]

    def notes(self) -> Sequence[str]:
        """Sentences on servers that ended by themselves or had to be killed."""
        found = []
        for log in sorted(Path(self._logs).glob("*.log")) if self._logs else ():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            found += [
                f"the server {log.name.rsplit('-', 2)[0]}: {line.removeprefix(MARK)} (log: {log})"
                for line in lines
                if line.startswith(MARK)
            ]
        return found

    def _in_checkout(self, revision: str, folder: Path, *, where: str) -> tuple[Path, Path]:
        """The checkout of a revision, and the directory in it that corresponds to one of the work tree. UsageError."""
        from harness.core.cache_root import default_root
        from harness.measure.runtimes.revisions import checkout, repository_of

        root = repository_of(self.config.directory).resolve()
        checked_out = checkout(self.config.directory, revision, cache=default_root())
        try:
            return checked_out, checked_out / folder.resolve().relative_to(root)
        except ValueError as error:
            raise UsageError(
                f"{folder} lies outside of the repository {root}, so it is the same at every revision",
                where=where,
                remedy="give a cwd in the repository",
            ) from error

    def _set_up(self, settings: ServerSettings, folder: Path, environment: Mapping[str, str]) -> None:
        for command in settings.setup:
            program = _find(command[0], folder, environment, where=f"{settings.where} setup")
            self.report(f"setting up the server {settings.name}: {' '.join(command)}")
            try:
                done = subprocess.run(
                    [program, *command[1:]], cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SETUP_TIMEOUT_S,
                )  # fmt: skip
            except subprocess.TimeoutExpired as error:
                raise MeasurementError(
                    f"`{' '.join(command)}` did not end within {SETUP_TIMEOUT_S:g} s", where=f"{settings.where} setup",
                    remedy="run it by hand",
                ) from error  # fmt: skip
            if done.returncode:
                lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
                last = "".join(f"\n  {line}" for line in lines[-TAIL_LINES:]) or "\n  (it printed nothing)"
                raise MeasurementError(
                    f"`{' '.join(command)}` failed with exit code {done.returncode}; its last lines:{last}\n",
                    where=f"{settings.where} setup",
                    remedy=f"run it in {folder}",
                )

    def log_folder(self) -> str:
        """The folder of the logs of this run, beside the results. It is made at the first call."""
        if not self._logs:
            root = self.config.audio.parent / "server-logs"
            folder = root / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}"
            check_directory(folder, where="the folder of server logs")
            for old in sorted(each for each in root.iterdir() if each.is_dir())[:-KEPT_RUNS]:
                shutil.rmtree(old, ignore_errors=True)
            self._logs = str(folder)
        return self._logs


def _inherited() -> dict[str, str]:
    """The environment of the harness without its own configuration."""
    kept = tuple(f"{ENVIRONMENT_PREFIX}{name}" for name in KEPT_VARIABLES)
    return {
        name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX) or name in kept
    }


def _find(program: str, folder: Path, environment: Mapping[str, str], *, where: str) -> str:
    """The file of a program: relative to the directory if it has a folder, else in PATH. UsageError."""
    if PORT in program:
        return program
    has_folder = os.sep in program or (os.altsep is not None and os.altsep in program)
    place = str(folder / Path(program).expanduser()) if has_folder else program
    found = shutil.which(place, path=environment.get("PATH", os.defpath))
    if found is None:
        looked = str(folder) if has_folder else "PATH"
        raise UsageError(
            f"there is no program {program!r} in {looked}", where=where, remedy="install it, or name its file"
        )
    return found
