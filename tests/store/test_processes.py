"""Several real processes on one store, and one that is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import harness
from harness.core.records.run import RunData, RunStatus
from harness.store.runs import open_store

CHILD = Path(__file__).with_name("child_writer.py")
PROJECT = Path(harness.__file__).parents[1]


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, str(CHILD), *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def assert_whole(data: RunData, *, blocks: int) -> None:
    assert [block.block for block in data.blocks] == list(range(1, blocks + 1))
    for block in data.blocks:
        ends = [repetition.end_ns for repetition in data.repetitions if repetition.block == block.block]
        assert ends == [block.block * 1_000 + position for position in range(12)]
    assert len(data.repetitions) == 12 * blocks


def test_two_runs_at_once_do_not_disturb_each_other(store_url: str) -> None:
    """Both also create the store, name the same scenarios, and wish for the same id."""
    with child(store_url, "night", "30") as one, child(store_url, "night", "30") as other:
        outputs = [process.communicate(timeout=240) for process in (one, other)]
    assert [errors for _, errors in outputs] == ["", ""]
    assert {output.split()[0] for output, _ in outputs} == {"night", "night-2"}
    with open_store(store_url) as store:
        for run_id in ("night", "night-2"):
            assert_whole(store.load(run_id), blocks=30)


def test_many_processes_may_create_the_store_together(store_url: str) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(child(store_url, "run", "1")) for _ in range(4)]
        assert [process.communicate(timeout=240)[1] for process in children] == [""] * 4
    with open_store(store_url) as store:
        assert sorted(row.id for row in store.list()) == ["run", "run-2", "run-3", "run-4"]


@pytest.mark.parametrize("after", [1, 7])
def test_what_a_killed_process_had_stored_is_there(store_url: str, after: int) -> None:
    with child(store_url, "night", "100000") as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(1 + after)]
        process.kill()
        said += process.stdout.read().split()
        pid = process.pid
        process.wait(timeout=240)
    stored = len(said) - 1
    with open_store(store_url) as store:
        data = store.load("night")
        # One block may have been stored just before the process could say so.
        assert len(data.blocks) in {stored, stored + 1}
        assert_whole(data, blocks=len(data.blocks))
        assert data.run.status is RunStatus.RUNNING
        assert data.run.pid == pid
        assert store.mark_abandoned(machine_key="child", boot="this-boot") == ("night",)
        assert store.head("night").status is RunStatus.INTERRUPTED


def test_a_process_that_still_measures_is_not_given_up(store_url: str) -> None:
    with child(store_url, "night", "100000", "0.05") as process, open_store(store_url) as store:
        assert process.stdout is not None
        process.stdout.readline()
        assert store.mark_abandoned(machine_key="child", boot="this-boot") == ()
        assert store.head("night").status is RunStatus.RUNNING


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    file = tmp_path / "results.sqlite"
    with (
        open_store(file) as store,
        store._database.writers.begin(),
        open_store(file, lock_wait_s=0.0) as reader,
    ):
        assert reader.list() == ()


def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    file = str(tmp_path / "results.sqlite")
    with open_store(file) as store, child(file, "night", "100000") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "night\n"
        with store._database.writers.begin():
            stored = len(store.load("night").blocks)
            time.sleep(0.2)  # enough for the child to come to its next block; nothing depends on it
            assert len(store.load("night").blocks) == stored
            assert process.poll() is None
        while int(process.stdout.readline()) <= stored:
            pass
        process.kill()
        assert process.communicate(timeout=240)[1] == ""
