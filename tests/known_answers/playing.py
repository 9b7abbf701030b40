"""Commands started as a user starts them, against a mock server that logs; what they printed, stored and asked."""

import csv
import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import pytest

from harness.cli import main
from harness.core.cache_root import ROOT_VARIABLE
from harness.core.records.repetition import Block, Launch, Phase, Repetition
from harness.core.records.run import RunRecord
from harness.core.records.verdict import Summary, TargetResult
from harness.server.mock.script import Script
from harness.server.mock.server import serving
from tests import forking
from tests.known_answers.witness import Load, Log, paired, read_log

EASY = ("--targets", "ttfa=30,rtf=100,streaming_efficiency=0.01")
"""Limits that a machine meets on which much else runs."""

LOCUSTFILE = Path(__file__).resolve().parents[2] / "suites" / "locustfile.py"


@dataclass(frozen=True, kw_only=True)
class Played:
    """One command that has ended: what it printed, what `runs export` gives of its run, and the server's log."""

    root: Path
    code: int
    said: str
    exported: bytes
    table: bytes
    """The export as CSV, a line for each repetition."""
    log: Log

    @cached_property
    def _records(self) -> dict[str, list[object]]:
        found: dict[str, list[object]] = {}
        for line in self.exported.splitlines():
            read = msgspec.json.decode(line)
            found.setdefault(read["kind"], []).append(read.get("record"))
        return found

    @cached_property
    def run(self) -> RunRecord:
        """The run's head."""
        return msgspec.convert(self._records["run"][0], RunRecord)

    @cached_property
    def launches(self) -> list[Launch]:
        """Every start of a worker."""
        return msgspec.convert(self._records["launch"], list[Launch])

    @cached_property
    def blocks(self) -> list[Block]:
        """Every block; of loads, one for each."""
        return msgspec.convert(self._records["block"], list[Block])

    @cached_property
    def repetitions(self) -> list[Repetition]:
        """Every request that was stored."""
        return msgspec.convert(self._records["repetition"], list[Repetition])

    @cached_property
    def targets(self) -> list[TargetResult]:
        """What was held against a limit."""
        return msgspec.convert(self._records["target"], list[TargetResult])

    @cached_property
    def _summaries(self) -> dict[tuple[str, str], Summary]:
        found = msgspec.convert(self._records["summary"], list[Summary])
        return {(each.scenario_id, each.metric): each for each in found}

    def metrics(self, scenario_id: str) -> set[str]:
        """Every metric that the run has a summary of, be it without a value."""
        return {metric for scenario, metric in self._summaries if scenario == scenario_id}

    def summary(self, scenario_id: str, metric: str) -> Summary:
        """A metric of a scenario."""
        return self._summaries[scenario_id, metric]

    def figures(self, scenario_id: str, phase: Phase = Phase.MEASURED) -> list[Mapping[str, float | None]]:
        """Each repetition's figures as the CSV has them, in the order of their positions; None is an empty cell."""
        lines = csv.DictReader(io.StringIO(self.table.decode()))
        kept = [line for line in lines if line["scenario"] == scenario_id and line["phase"] == phase.value]
        kept.sort(key=lambda line: int(line["position"]))
        return [{name: _number(cell) for name, cell in line.items()} for line in kept]

    @cached_property
    def loads(self) -> dict[str, Load]:
        """Every load by the name of its traffic. The log's first answer is the launch's first inference, if any."""
        assert "repetition" in self._records, self.said
        scenarios = {each.id: each for each in self.run.scenarios}
        answers = self.log.answers
        first = sum(any(part.name == "first_inference" for part in launch.parts) for launch in self.launches)
        found = {}
        for block in self.blocks:
            scenario = scenarios[block.order[0]]
            ours = [each for each in self.repetitions if each.block == block.block]
            assert scenario.traffic is not None
            seen = answers[first : first + len(ours)]
            pairs = paired(scenario, ours, seen)
            found[scenario.traffic.name] = Load(scenario=scenario, block=block, pairs=pairs)
            first += len(ours)
        assert first == len(answers), "the server was asked for something that the run does not have"
        return found

    @cached_property
    def began_s(self) -> tuple[float, ...]:
        """Of a load with several clients: when each began, in seconds after the first to begin."""
        return tuple(float(each) for each in dict(self.launches[0].facts.options)["clients_began_s"].split(", "))

    def row(self, name: str) -> list[str]:
        """The cells of the printed table's line that begins with `name`, which is its first word."""
        lines = [line.split("  ") for line in self.said.splitlines() if line.split()[:1] == [name]]
        assert len(lines) == 1, f"{len(lines)} lines begin with {name}:\n{self.said}"
        return [cell.strip() for cell in lines[0] if cell.strip()]


def play(root: Path, script: Script, *arguments: str) -> Played:
    """Run `kokoro-bench ARGUMENTS --url …` in `root` against a server of `script`, which has a thread of its own."""
    log = io.StringIO()
    with serving(script, log=log) as (url, _):
        ended = command(root, *arguments, "--url", url)
    return stored(root, ended, log.getvalue())


def stored(root: Path, ended: subprocess.CompletedProcess[str], log: str) -> Played:
    """What a command that has ended left behind in `root`."""
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    return Played(
        root=root,
        code=ended.returncode,
        said=ended.stdout,
        exported=_exported(root, "jsonl"),
        table=_exported(root, "csv"),
        log=read_log(log),
    )


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command as a user starts it, to its end."""
    return forking.run(*arguments, cwd=root, env=environment(root))


def distribute(root: Path, script: Script, *arguments: str, workers: int, slowly: bool = False) -> Played:
    """Run a load by Locust: a master and `workers` processes; with 0 one process that does it all.

    What is no option of Locust's comes from variables: limits that are easily met, and a seed of 7. With `slowly` each
    client takes longer to prepare than Locust lets pass between two looks at how many users there are to be.
    """
    log = io.StringIO()
    with serving(script, log=log) as (url, _):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        chosen = {"KOKORO_BENCH_TARGETS": EASY[1], "KOKORO_BENCH_SEED": "7"}
        locustfile = _slow_locustfile(root) if slowly else LOCUSTFILE
        clients = [
            _locust(root, locustfile, chosen, "--worker", "--master-host", "127.0.0.1", "--master-port", port)
            for _ in range(workers)
        ]
        gathers = (
            "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", str(workers),
            "--expect-workers-max-wait", "120",
        )  # fmt: skip
        master = _locust(
            root, locustfile, chosen, "--headless", "--host", url, *arguments, *(gathers if workers else ())
        )
        try:
            said, _ = master.communicate(timeout=240)
        finally:
            for process in (master, *clients):
                process.kill()
                process.communicate()
    return stored(root, subprocess.CompletedProcess([], master.returncode, said, ""), log.getvalue())


def _slow_locustfile(root: Path) -> Path:
    path = root / "slow_locustfile.py"
    path.write_text(
        # Texts are composed in a thread of the system's, where gevent's sleep would wait for ever.
        "import harness.measure.load.external_client as client\n"
        "from gevent.monkey import get_original\n"
        "_texts_of, _sleep = client.texts_of, get_original('time', 'sleep')\n"
        "client.texts_of = lambda *given, **named: (_sleep(2.5), _texts_of(*given, **named))[1]\n"
        "from suites.locustfile import *\n",
        encoding="utf-8",
    )
    return path


def _locust(root: Path, locustfile: Path, chosen: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(LOCUSTFILE.parents[1]), *sys.path[1:]])
    return subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", str(locustfile), "--only-summary", *arguments],
        cwd=root,
        env={**environment(root), **chosen, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def server(root: Path, script: str, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`kokoro-bench mock-server` as a process while the block lasts: its URL, and the process."""
    with forking.Started(
        *("mock-server", script, "--port", "0", *arguments),
        cwd=root,
        env=environment(root),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip().partition(" at ")[2], process
        finally:
            process.terminate()


def environment(root: Path) -> dict[str, str]:
    """That of a user who has set nothing, but that no tools are installed which judge speech: a server's is a tone."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KOKORO_BENCH_", "PYTEST_"))}
    ours.pop("GITHUB_STEP_SUMMARY", None)
    return {**ours, ROOT_VARIABLE: str(root / "models"), "KOKORO_BENCH_QUALITY": "off", "PYTHONUTF8": "1"}


def _exported(root: Path, form: str) -> bytes:
    """What `runs export` writes; in this process, since a process of its own would only take longer."""
    target = root / f"exported.{form}"
    results = root / ".kokoro-bench" / "results.sqlite"
    with pytest.raises(SystemExit) as ended:
        main(["runs", "export", "--results", str(results), "--format", form, "-o", str(target)])
    assert not ended.value.code
    return target.read_bytes()


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
