"""Real processes: kills, signals, a lock, two schedulers. Nothing is lost, nothing runs twice.

What is measured is a mock server of the test's own. It waits before each answer, so a run goes on for as long as the
test needs it and takes hardly any of the CPU time that the test's other processes need.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.core.errors import ExitCode
from harness.core.records.run import RunStatus
from harness.core.records.schedule import Fire, FireCause, FireOutcome, FireState
from harness.schedule.launcher import COMMAND, GO
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import MockServer, serving
from harness.store.runs import RunStore, open_store
from tests import forking
from tests.processes import await_ended, ended

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")

SLOW = Script(name="slow", answers=(Answer(steps=(Step(wait_ms=100), Step(audio_share=1.0))),))
PATIENCE_S = 240.0
JOB = """
[tool.kokoro-bench.schedule]
busy-cpus = 1000
[tool.kokoro-bench.schedule.nightly]
cron = "30 2 29 2 *"
selection = "quick"
k = "test_delivery"
budget = "10m"
{limit}
options = {{ url = "{url}", endpoint-options = "keep_alive=on", text = ["chars-12"], launches = 2, blocks = 1000 }}
"""
PATIENT = """
import sys
from harness.schedule import daemon
daemon.KILL_AFTER_S = {patience_s}
from harness.cli import main
main(sys.argv[1:])
"""
"""The command, with a scheduler that never kills a run for the time that it takes to end in order."""


class Site:
    """A project with one job, and its schedulers."""

    def __init__(self, root: Path, url: str, server: MockServer) -> None:
        self.root, self.url, self.server = root, url, server
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("KOKORO_BENCH_", "PYTEST_"))},
            "KOKORO_BENCH_CACHE": str(root / "cache"),
            "KOKORO_BENCH_QUALITY": "off",
            "PYTHONUTF8": "1",
        }
        self.started: list[subprocess.Popen[str]] = []
        self.declare()

    def declare(self, limit: str = "") -> None:
        """Write the job's table."""
        (self.root / "pyproject.toml").write_text(JOB.format(limit=limit, url=self.url))

    def command(self, *arguments: str, patient: bool = False, patience_s: float = PATIENCE_S) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "text": True}
        program = PATIENT.format(patience_s=patience_s)
        process = (
            subprocess.Popen(
                [sys.executable, "-c", program, *arguments], cwd=self.root, env=self.environment, **streams
            )
            if patient
            else forking.Started(*arguments, cwd=self.root, env=self.environment, **streams)
        )
        self.started.append(process)
        return process

    def said(self, *arguments: str, patient: bool = False) -> tuple[int, str]:
        process = self.command(*arguments, patient=patient)
        output, _ = process.communicate(timeout=PATIENCE_S)
        return process.returncode, output

    @contextlib.contextmanager
    def store(self) -> Iterator[RunStore]:
        with open_store(self.root / ".kokoro-bench" / "results.sqlite") as store:
            yield store

    def fires(self) -> list[Fire]:
        with self.store() as store:
            return list(reversed(store.journal().fires()))

    def until(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < end
            time.sleep(0.1)

    def blocks(self) -> int:
        """Blocks of the newest run."""
        with self.store() as store:
            rows = store.list(limit=1)
        return rows[0].blocks if rows else 0

    def measuring(self, blocks: int = 2, *, patient: bool = False) -> tuple[subprocess.Popen[str], int]:
        """A scheduler whose run has measured some blocks; its process and the run's."""
        scheduler = self.command("schedule", "run-now", "nightly", patient=patient)
        self.until((self.root / ".kokoro-bench" / "results.sqlite").exists)
        self.until(lambda: self.blocks() >= blocks or scheduler.poll() is not None)
        if scheduler.poll() is not None and self.blocks() < blocks:
            logs = (self.root / ".kokoro-bench" / "schedule").glob("*.log")
            pytest.fail(f"it did not measure: {scheduler.communicate()[0]} {[log.read_text() for log in logs]}")
        return scheduler, self.fires()[-1].pid

    def end(self) -> None:
        for process in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for fire in self.fires() if (self.root / ".kokoro-bench").exists() else []:
            with contextlib.suppress(ProcessLookupError):
                if fire.state is FireState.RUNNING and fire.pid:
                    os.kill(fire.pid, signal.SIGKILL)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(SLOW) as (url, server):
        made = Site(tmp_path, url, server)
        yield made
        made.end()


def test_the_run_is_killed(site: Site) -> None:
    scheduler, run = site.measuring()
    before = site.blocks()
    os.kill(run, signal.SIGKILL)
    scheduler.communicate(timeout=PATIENCE_S)
    assert scheduler.returncode == 3
    [fire] = site.fires()
    assert (fire.outcome, fire.reason) == (FireOutcome.FAILED, "killed by SIGKILL")
    with site.store() as store:
        [row] = store.list()
        assert row.status is RunStatus.INTERRUPTED
        assert row.id == fire.run_id
        data = store.load(row.id)
    assert len(data.blocks) == row.blocks >= before
    measured = [repetition for repetition in data.repetitions if repetition.phase.value == "measured"]
    assert len(measured) == len(data.blocks)


def test_the_scheduler_is_killed_and_its_run_taken_over(site: Site) -> None:
    scheduler, run = site.measuring()
    scheduler.kill()
    scheduler.wait()
    second = site.command("schedule", "run", "--once")
    assert second.stdout is not None
    assert any(f"still running (process {run})" in line for line in second.stdout)  # as soon as it says so
    before = site.blocks()
    site.until(lambda: site.blocks() > before)
    assert not ended(run)
    os.kill(run, signal.SIGTERM)
    second.communicate(timeout=PATIENCE_S)
    [fire] = site.fires()
    assert (fire.state, fire.outcome, fire.reason) == (FireState.ENDED, FireOutcome.INTERRUPTED, "ended by SIGTERM")


def test_both_are_killed(site: Site) -> None:
    scheduler, run = site.measuring()
    scheduler.kill()
    os.kill(run, signal.SIGKILL)
    scheduler.wait()
    await_ended([run])
    before = site.blocks()
    # The run that was killed is told once, by the scheduler that finds it.
    assert site.said("schedule", "run", "--once")[0] == ExitCode.MEASUREMENT
    [fire] = site.fires()
    assert fire.outcome is FireOutcome.INTERRUPTED
    with site.store() as store:
        [row] = store.list()
    assert (row.status, row.blocks) == (RunStatus.INTERRUPTED, before)


class Receiver:
    """A webhook that kills the scheduler before it answers the first message, and then answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.scheduler: subprocess.Popen[str] | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                if receiver.scheduler is not None:
                    receiver.scheduler.kill()
                    receiver.scheduler = None
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_the_scheduler_is_killed_while_it_sends_an_alert(site: Site, receiver: Receiver) -> None:
    declared = (site.root / "pyproject.toml").read_text()
    targets = f'busy-cpus = 1000\nalerts = ["file:alerts.jsonl", "{receiver.url}"]'
    (site.root / "pyproject.toml").write_text(declared.replace("busy-cpus = 1000", targets))
    receiver.scheduler, run = site.measuring()
    os.kill(run, signal.SIGKILL)
    killed = site.started[-1]
    killed.communicate(timeout=PATIENCE_S)
    assert killed.returncode == -signal.SIGKILL
    assert site.said("schedule", "run", "--once")[0] in (ExitCode.OK, ExitCode.MEASUREMENT)
    [line] = (site.root / "alerts.jsonl").read_text().splitlines()
    assert [(got["id"], got["repeated"]) for got in receiver.got] == [
        (json.loads(line)["id"], False), (json.loads(line)["id"], True)
    ]  # fmt: skip
    with site.store() as store:
        [alert] = store.journal().alerts()
    assert (alert.kind.value, alert.trouble) == ("failed run", "")
    # And now everybody has it.
    site.said("schedule", "run", "--once")
    assert len(receiver.got) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no file that is always full")
def test_a_run_does_not_end_because_its_log_has_no_space(site: Site) -> None:
    with Path("/dev/full").open("w") as log:
        done = subprocess.run(
            [*COMMAND, "run", "--engine", "scripted", "--quick", "-k", "test_whole", "--budget", "5s"],
            input=GO, text=True, stdout=log, stderr=log, cwd=site.root, timeout=PATIENCE_S, check=False,
            env={**site.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    assert done.returncode == ExitCode.OK
    with site.store() as store:
        [row] = store.list()
    assert (row.status.is_finished, row.blocks > 0) == (True, True)


def test_sigterm_ends_scheduler_and_run_in_order(site: Site) -> None:
    scheduler, run = site.measuring(patient=True)
    scheduler.terminate()
    scheduler.communicate(timeout=PATIENCE_S)
    assert ended(run)
    [fire] = site.fires()
    assert (fire.outcome, fire.reason) == (FireOutcome.INTERRUPTED, "the scheduler was ended")
    assert fire.cause is FireCause.SCHEDULER_ENDED
    with site.store() as store:
        [row] = store.list()
        assert (row.status, row.reason) == (RunStatus.INTERRUPTED, "ended by SIGTERM")
        assert store.load(row.id).summaries


def test_over_its_limit_a_run_is_kept_as_partial(site: Site) -> None:
    # The limit is one of time. On a busy machine the first block may need more than the shortest.
    for limit_s in (8, 32, 128):
        site.declare(f'limit = "{limit_s}s"')
        site.said("schedule", "run-now", "nightly", patient=True)
        fire = site.fires()[-1]
        if fire.outcome is not FireOutcome.FAILED:
            break
        assert fire.reason == "its time limit was reached before a block was measured"
    assert (fire.outcome, fire.reason) == (FireOutcome.PARTIAL, "its time limit was reached")
    with site.store() as store:
        row = store.row(fire.run_id)
    assert row is not None
    log = Path(fire.log).read_text()
    assert (row.status, row.reason) == (RunStatus.PARTIAL, "its time limit was reached"), log


def test_a_run_that_does_not_end_at_its_limit_is_killed_and_what_it_measured_is_kept(site: Site) -> None:
    def measuring(limit_s: int) -> subprocess.Popen[str] | None:
        """The scheduler of a run that has measured a block; None if the limit came before."""
        site.declare(f'limit = "{limit_s}s"')
        scheduler = site.command("schedule", "run-now", "nightly", patient=True, patience_s=0.0)
        site.until((site.root / ".kokoro-bench" / "results.sqlite").exists)
        site.until(lambda: site.blocks() > 0 or scheduler.poll() is not None)
        return scheduler if scheduler.poll() is None else None

    scheduler = measuring(10) or measuring(40) or measuring(160)
    assert scheduler is not None
    os.kill(site.fires()[-1].pid, signal.SIGSTOP)  # it gets no signal but the one that cannot be ignored
    scheduler.communicate(timeout=PATIENCE_S)
    fire = site.fires()[-1]
    reason = "its time limit was reached, and it was killed before it had judged what it measured"
    assert (fire.outcome, fire.reason) == (FireOutcome.PARTIAL, reason)
    with site.store() as store:
        row = store.row(fire.run_id)
    assert row is not None
    assert row.status is RunStatus.INTERRUPTED
    assert row.blocks > 0


def test_a_locked_database_is_waited_for(site: Site) -> None:
    _, run = site.measuring()
    connection = sqlite3.connect(site.root / ".kokoro-bench" / "results.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    events = Path(site.fires()[-1].log).with_suffix(".events")
    before = site.blocks()
    # The block that is being measured ends, if one is, and cannot be stored. Whether the run has come to that by the
    # end of the pause does not change the result.
    site.until(lambda: site.server.tally.active == 0)
    time.sleep(0.5)
    assert site.blocks() == before
    assert not ended(run)
    connection.execute("ROLLBACK")
    connection.close()
    site.until(lambda: site.blocks() > before)
    numbers = [line["blocks"] for line in map(json.loads, events.read_text().splitlines()) if line["event"] == "block"]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_second_scheduler_says_who_is_there(site: Site) -> None:
    first = site.command("schedule", "run")
    assert first.stdout is not None
    assert "runs 1 jobs" in first.stdout.readline()
    code, output = site.said("schedule", "run")
    assert code == 2
    assert f"another scheduler runs this schedule: process {first.pid} on " in output
    first.kill()
    first.wait()
    # The lock died with its holder.
    assert site.said("schedule", "run", "--once")[0] == 0


def test_a_person_who_measures_meanwhile_waits_and_is_told_for_whom(site: Site) -> None:
    _, run = site.measuring(blocks=1)
    code, output = site.said("run", "--url", site.url, "--text", "chars-12", "-k", "test_delivery", "--wait", "1s")
    assert code == 2
    assert f"process {run} (kokoro-bench, quick" in output
    assert "waiting up to 1 s" in " ".join(output.split())
