"""The product in a soak: a project on a small disk, its scheduler, which is started again when it ends, and kills."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.soak_clients import Audience, Webhook
from benchmarks.soak_ground import RUN, WORKER, Ballast, of_kind, reap
from benchmarks.soak_memory import MemoryLog
from harness.core.records.schedule import FireState
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import MockServer
from harness.store.runs import open_store

RESTART_S = 3.0
"""The pause before a scheduler is started again, as systemd's RestartSec."""
SAMPLE_S = 5.0
PAGES = 20
PROJECT = """
[tool.kokoro-bench]
model = "replica-small"
[tool.kokoro-bench.schedule]
alerts = ["file:alerts.jsonl", "{webhook}"]
busy-cpus = 1000
keep-raw-runs = 60
[tool.kokoro-bench.gate]
tolerance = {{ latency = "30%", ttfa = "30%", rtf = "30%", rss_peak = "30%" }}
[tool.kokoro-bench.schedule.server]
every = "1m"
selection = "quick"
k = "test_delivery"
budget = "45s"
promote = "clean"
confirm = "15s"
options = {{ url = "{server}", endpoint-options = "keep_alive=on", text = ["chars-12"], launches = 3, blocks = 2 }}
[tool.kokoro-bench.schedule.worker]
every = "2m"
selection = "quick"
k = "test_whole"
budget = "45s"
promote = "clean"
confirm = "15s"
options = {{ text = ["chars-12"], launches = 2, blocks = 4 }}
"""
SERVER_JOB = "server"
RECENT = 10
"""The newest due times among which a run is looked for: more than become due while a slowdown lasts."""


def answering_after(wait_ms: float) -> Script:
    """A server that waits before it answers."""
    steps = (Step(wait_ms=wait_ms), Step(audio_share=1.0))
    return Script(name=f"after {wait_ms:g} ms", answers=(Answer(steps=steps),))


USUAL, SLOW = answering_after(400), answering_after(1600)
"""Four times as slow, with a tolerance of 30 %: with two accepted runs the gate sees no change below 60 %, and while
others use the machine, an answer may well take a tenth longer. The server is a thread of this process, whose memory
grows with its evidence. What is tested is what follows a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that the soak did, and when (s since the epoch)."""

    at: float
    kind: str
    what: str


@dataclass(slots=True, kw_only=True)
class Site:
    """The project, its scheduler, and what happened to it. `server` is what the job `server` measures."""

    root: Path
    work: Path
    server: MockServer
    server_url: str
    random: random.Random
    ballast: Ballast | None
    memory: MemoryLog = field(default_factory=MemoryLog)
    events: list[Event] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    """Ends of the scheduler that nobody asked for."""
    webhook: Webhook = field(init=False)
    audience: Audience = field(init=False)
    port: int = field(init=False)
    scheduler: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    filling: bool = False
    _ended_at: float = 0.0
    _killed: set[int] = field(default_factory=set)
    _sampled_at: float = 0.0

    def __post_init__(self) -> None:
        self.webhook = Webhook(self._kill_sender)
        self.port = _free_port()
        project = PROJECT.format(webhook=self.webhook.url, server=self.server_url)
        (self.root / "pyproject.toml").write_text(project)
        self.server.script = USUAL
        self.start()
        self.audience = Audience(self.port, PAGES)

    @property
    def log(self) -> Path:
        """What the schedulers say."""
        return self.work / "scheduler.log"

    @property
    def store(self) -> Path:
        return self.root / ".kokoro-bench" / "results.sqlite"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the product's processes."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KOKORO_BENCH_")}
        own = {"KOKORO_BENCH_CACHE": str(self.work / "cache"), "KOKORO_BENCH_QUALITY": "off", "PYTHONUTF8": "1"}
        root = str(Path(__file__).resolve().parents[1])
        return kept | own | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))}

    def start(self) -> None:
        """Start a scheduler with its dashboard."""
        command = [sys.executable, "-P", "-m", "harness.cli", "schedule", "run", "--http", str(self.port)]
        with self.log.open("ab") as log:
            self.scheduler = subprocess.Popen(
                command, cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.starts += 1

    def tend(self) -> None:
        """Start the scheduler again if it has ended, take a sample, and keep the disk full."""
        now = time.time()
        reap([self.scheduler.pid] if self.scheduler else [])
        if self.filling and self.ballast:
            self.ballast.fill()
        if self.scheduler is not None and self.scheduler.poll() is not None:
            if self.scheduler.pid not in self._killed:
                self.unexpected.append(f"exit code {self.scheduler.returncode} at {time.strftime('%H:%M:%S')}")
            self.scheduler, self._ended_at = None, now
        if self.scheduler is None:
            if now - self._ended_at >= RESTART_S:
                self.start()
        elif now - self._sampled_at >= SAMPLE_S:
            self._sampled_at = now
            self.memory.look(self.scheduler.pid, now)

    def note(self, kind: str, what: str) -> None:
        self.events.append(Event(at=time.time(), kind=kind, what=what))
        print(f"{time.strftime('%H:%M:%S')} {kind}: {what}", flush=True)

    def kill(self, victim: str) -> bool:
        """Kill the `worker`, the `run`, the `scheduler` with its dashboard, or `both` of the latter.

        Return False if there is none now.
        """
        parts = {"worker": (WORKER,), "run": (RUN,), "both": (RUN,)}.get(victim, ())
        found = [each for part in parts for each in of_kind(part)[:1]]
        if parts and not found:
            return False
        for each in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        if victim in ("scheduler", "both"):
            self._kill_scheduler()
        self.note("kill -9", victim)
        return True

    def slow(self, *, planted: bool) -> None:
        """Plant the slowdown, or take it back."""
        self.server.script = SLOW if planted else USUAL
        self.note("slowdown", "planted" if planted else "taken back")

    def measured_since_change(self, count: int) -> bool:
        """Whether so many runs have measured the server since it was made slow or as usual, and none does so now."""
        begin = next((each.at for each in reversed(self.events) if each.kind == "slowdown"), 0.0)
        with open_store(self.store) as store:
            fires = store.journal().fires(job=SERVER_JOB, limit=RECENT)
        measured = sum(
            (fire.started_at or 0) >= begin and (fire.outcome is not None and fire.outcome.measured) for fire in fires
        )
        return measured >= count and not any(fire.state is FireState.RUNNING for fire in fires)

    def disk(self, *, full: bool) -> None:
        """Fill the disk, or free it."""
        if self.ballast is None:
            return
        self.filling = full
        (self.ballast.fill if full else self.ballast.free)()
        self.note("disk", "filled" if full else "freed")

    def stop(self) -> int:
        """End the scheduler in order. Return its exit code."""
        while self.scheduler is None or self.scheduler.poll() is not None:
            time.sleep(RESTART_S)
            self.tend()
        scheduler = self.scheduler
        self._killed.add(scheduler.pid)
        self.note("stop", "SIGTERM")
        scheduler.send_signal(signal.SIGTERM)
        return scheduler.wait(timeout=60)

    def _kill_sender(self) -> None:
        self._kill_scheduler()
        self.note("kill -9", "scheduler, while it sent an alert")

    def _kill_scheduler(self) -> None:
        if self.scheduler is not None and self.scheduler.poll() is None:
            self._killed.add(self.scheduler.pid)
            self.scheduler.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
