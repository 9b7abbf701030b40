"""The real duel of an engine that waits: told in the table, the report and the stored blocks."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.waiting_engine import Peer
from benchmarks.waiting_engines import installed
from harness.core.records.run import RunData
from harness.measure.conductor.warm_ups import MOST_OBSERVED
from harness.measure.system.thread_states import Threads
from harness.measure.worker.pause import SUPPORTED
from harness.store.runs import open_store
from tests import forking
from tests.conftest import Command

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="only Linux kills a halted worker whose conductor has ended")

AT_ONCE = "the arms of a pair ran at the same time, in turns of up to 100 ms"
ONE_BY_ONE = "the arms of a pair ran one after the other: waiting.cpu.tdefault."


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[forking.Interpreter]:
    """The interpreter of an environment with the waiting engine."""
    if not Threads(os.getpid()).readable:
        pytest.skip("this system does not show what a process waits for")
    with closing(forking.Interpreter(installed(tmp_path_factory.mktemp("environment")))) as found:
        yield found


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer()
    peer.begin()
    yield peer
    peer.shutdown()
    peer.server_close()


def waiting(**options: str) -> list[str]:
    """The options for the waiting engine."""
    told = ",".join(f"{name}={value}" for name, value in {"work": "100", **options}.items())
    return ["--engine", "waiting", "--session-options", told, "--text", "chars-12"]


def duel(
    kokoro_bench: Command, interpreter: forking.Interpreter, folder: Path, options: list[str], *, blocks: int = 1
) -> tuple[str, RunData]:
    """What the command prints of a duel of one engine against itself, and what is stored of it."""
    short = ["--launches", "1", "--blocks", f"{blocks}"]
    done = kokoro_bench("duel", "current", "current", *options, *short, interpreter=interpreter)
    assert done.returncode == 0, done.stdout + done.stderr
    with open_store(folder / ".kokoro-bench/results.sqlite") as store:
        return " ".join(done.stdout.split()), store.load(store.resolve("latest"))


def test_onnx_runtime_whose_threads_spin_is_measured_in_slices(
    interpreter: forking.Interpreter, tmp_path: Path, kokoro_bench: Command
) -> None:
    """Four threads spin at the barriers of their pool, also where the machine has fewer cores."""
    options = ["--model", "replica-small", "--threads", "4", "--text", "chars-60"]
    printed, data = duel(kokoro_bench, interpreter, tmp_path, options)
    assert AT_ONCE in printed
    assert [(block.slice_ns, block.whole) for block in data.blocks] == [(100_000_000, "")]


@pytest.mark.parametrize(
    ("wait", "reason"),
    [("sleep", "sleeps for about"), ("socket", "waits for a socket for about"), ("spin", "reads a clock in a loop")],
)
def test_an_engine_that_waits_half_of_its_time_is_played_one_side_after_the_other(
    wait: str, reason: str, *, interpreter: forking.Interpreter, tmp_path: Path, kokoro_bench: Command, peer: Peer
) -> None:
    printed, data = duel(kokoro_bench, interpreter, tmp_path, waiting(wait=wait, share="1", peer=peer.address))
    assert ONE_BY_ONE in printed
    assert reason in printed
    (block,) = data.blocks
    assert block.slice_ns == 0
    assert reason in block.whole
    (note,) = [note for note in data.run.notes if "one after the other" in note]
    assert note.endswith(block.whole)
    page = (tmp_path / f"reports/site/runs/{data.run.id}.html").read_text(encoding="utf-8")
    assert reason in page
    if wait != "sleep":
        return
    for command in (["runs", "show", "latest"], ["runs", "export", "latest", "--format", "jsonl"]):
        found = kokoro_bench(*command)
        assert found.returncode == 0, found.stderr
        shown = found.stdout
        assert reason in " ".join(shown.split())
    blocks = [line["record"] for line in map(json.loads, shown.splitlines()) if line["kind"] == "block"]
    assert [each["whole"] for each in blocks] == [block.whole]


def test_an_engine_that_waits_only_later_is_found_at_its_halts_and_what_was_measured_in_slices_does_not_count(
    interpreter: forking.Interpreter, tmp_path: Path, kokoro_bench: Command
) -> None:
    """It computes alone for more texts than any warm-up has; then it sleeps for most of its time."""
    options = waiting(wait="sleep", share="3", work="24", after=f"{MOST_OBSERVED + 2}")
    printed, data = duel(kokoro_bench, interpreter, tmp_path, options, blocks=12)
    assert ONE_BY_ONE in printed
    in_slices = [block for block in data.blocks if block.slice_ns]
    assert in_slices
    assert in_slices == list(data.blocks[: len(in_slices)])
    assert [bool(block.whole) for block in data.blocks] == [
        number >= len(in_slices) - 1 for number in range(len(data.blocks))
    ]
    assert f"do not count: {len(in_slices)} blocks" in printed
    counted = len(data.blocks) - len(in_slices)
    assert counted
    assert f"{counted} pairs of each text" in printed
    assert {each.n for each in data.summaries if each.metric == "latency"} == {counted}
