"""Events for whoever watches from another process."""

import errno
import json
from pathlib import Path

import pytest

from harness.core.records.repetition import Block, Canary, Launch, Outcome, OutcomeKind, Phase, Repetition
from harness.measure.conductor import event_file
from harness.measure.conductor.event_file import (
    EVENTS_VARIABLE,
    EventFile,
    RunProgress,
    event_handlers_from,
    read_events,
)
from harness.measure.conductor.events import Begun, BlockDone, Launched, Progress, ScenarioLost, WarmedUp


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file, now = tmp_path / "events", [100.0]
    listen = EventFile(file, wall=lambda: now[0])
    block = Block(block=4, launch=1, order=(), started_at=0.0, wall_ns=1, canary=Canary(numpy_ns=1, graph_ns=1))
    repetition = Repetition(
        scenario_id="s", launch=0, block=-1, position=0, phase=Phase.WARMUP, variant=0, characters=1, started_at=0.0,
        end_ns=1,
    )  # fmt: skip
    listen(Begun(run_id="run-1"))
    listen(Launched(launch=Launch(arm_id="a", launch=1, started_at=0.0, page_cache="warm")))
    listen(WarmedUp(repetition=repetition))
    listen(Progress(doing="canary", share=0.25, remaining_s=None, budget_left_s=60.0))
    listen(Progress(doing="too soon", share=0.3, remaining_s=1.0, budget_left_s=60.0))
    listen(BlockDone(block=block, repetitions=(repetition,)))
    lost = Outcome(kind=OutcomeKind.CRASHED, reason="gone")
    listen(ScenarioLost(scenario_id="s", outcome=lost))
    now[0] += 1
    listen(Progress(doing="s", share=0.5, remaining_s=12.34, budget_left_s=60.0))
    assert read_events(file) == RunProgress(
        run_id="run-1", doing="s", share=0.5, remaining_s=12.3, launches=2, blocks=5, lost=1, at=101.0
    )
    kinds = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert kinds == ["begun", "launched", "progress", "block", "lost", "progress"]


def test_half_a_line_and_a_long_middle_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "events"
    middle = json.dumps({"event": "progress", "doing": "x" * 100, "share": 0.1}) + "\n"
    with file.open("w") as stream:
        stream.write('{"event": "begun", "run_id": "run-1"}\n' + middle * 3_000)
        stream.write('{"event": "block", "blocks": 7}\n{"event": "blo')
    found = read_events(file)
    assert (found.run_id, found.blocks) == ("run-1", 7)


@pytest.mark.parametrize("line", ['{"event": "block", "blocks": "7"}', '{"share": null}', '{"run_id": 7}'])
def test_a_line_with_a_value_of_another_type_is_passed_over(line: str, tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_text(f'{{"event": "begun", "run_id": "run-1"}}\n{line}\n')
    assert read_events(file) == RunProgress(run_id="run-1", doing="starting")


def test_no_file_is_a_run_that_starts(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none") == RunProgress()


def test_a_disk_that_refuses_costs_the_lines_alone(tmp_path: Path) -> None:
    listen = EventFile(tmp_path / "no" / "folder")
    listen(Begun(run_id="run-1"))
    listen(Begun(run_id="run-1"))


def test_what_a_full_disk_refused_is_written_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, now = tmp_path / "events", [100.0]
    listen = EventFile(file, wall=lambda: now[0])
    with monkeypatch.context() as full:
        full.setattr(event_file, "append_whole", _refuse)
        listen(Begun(run_id="run-1"))
        for share in (0.25, 0.5):
            now[0] += 1
            listen(Progress(doing="canary", share=share, remaining_s=None, budget_left_s=60.0))
    assert not file.exists()
    now[0] += 1
    listen(Progress(doing="s", share=0.75, remaining_s=None, budget_left_s=60.0))
    assert (read_events(file).run_id, read_events(file).share) == ("run-1", 0.75)
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["begun", "progress"]


def _refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_nobody_listens_unless_asked(tmp_path: Path) -> None:
    assert event_handlers_from({}) == []
    assert len(event_handlers_from({EVENTS_VARIABLE: str(tmp_path / "events")})) == 1
