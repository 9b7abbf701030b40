"""Who may keep a schedule, on both kinds of database."""

import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harness.core.clock import ScriptedClock
from harness.core.records.schedule import SchedulerInstance
from harness.measure.system.machine import boot_id, identify
from harness.plan.config import load_config
from harness.schedule.job import Settings
from harness.schedule.service import Here, SchedulerThereError, keeping, opened, scheduler_at_work
from harness.store.errors import AwayError
from harness.store.retry import with_retries
from harness.store.schedule_log import ScheduleLog

NOW = 1_767_225_600.0


@pytest.fixture
def here(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    monkeypatch.setenv("KOKORO_BENCH_CACHE", str(tmp_path / "cache"))
    config = load_config({"results": store_url}, start=tmp_path, environment={})
    with opened(config, Settings()) as found:
        yield found


def instance(here: Here, **changes: object) -> SchedulerInstance:
    us = SchedulerInstance(
        runner=here.runner, pid=os.getpid(), host=platform.node(), boot=boot_id(), since=NOW, seen_at=NOW, doing=""
    )
    return replace(us, **changes)  # type: ignore[arg-type]


def test_on_a_server_a_runner_has_its_hosts_name_too(here: Here) -> None:
    key = identify().key
    assert here.runner == (key if here.journal.is_local else f"{key}@{platform.node()}")


def test_one_at_a_time_and_the_next_when_it_has_ended(here: Here) -> None:
    with keeping(here, instance(here), now=NOW):
        found = scheduler_at_work(here, now=NOW)
        assert found is not None
        assert found.pid == os.getpid()
        with (
            pytest.raises(SchedulerThereError, match=f"process {os.getpid()} on {platform.node()}, since 2026-01-01"),
            keeping(here, instance(here), now=NOW),
        ):
            pytest.fail("two schedulers")
    assert scheduler_at_work(here, now=NOW) is None
    assert here.journal.scheduler(here.runner) is None


def test_a_database_that_is_full_at_the_start_is_waited_for(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, refusals = ScheduleLog.keep, [AwayError("the disk is full"), AwayError("the disk is full")]

    def full_at_first(log: ScheduleLog, found: SchedulerInstance) -> None:
        if refusals:
            raise refusals.pop()
        keep(log, found)

    monkeypatch.setattr(ScheduleLog, "keep", full_at_first)
    retry = partial(with_retries, clock=ScriptedClock(), report=lambda _: None)
    with keeping(here, instance(here), now=NOW, retry=retry):
        found = here.journal.scheduler(here.runner)
        assert found is not None
        assert found.pid == os.getpid()


def test_a_database_that_is_full_at_the_end_does_not_fail_the_command(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise AwayError("the disk is full")

    with keeping(here, instance(here), now=NOW):
        monkeypatch.setattr(ScheduleLog, "leave", full)
    assert scheduler_at_work(here, now=NOW) is None


def test_who_was_killed_keeps_nothing(here: Here) -> None:
    here.journal.keep(instance(here, pid=1))
    assert scheduler_at_work(here, now=NOW) is None


def test_the_same_name_on_another_host_is_respected_while_it_is_heard_of(here: Here) -> None:
    here.journal.keep(instance(here, host="elsewhere", boot="another", pid=7))
    with (
        pytest.raises(SchedulerThereError, match="process 7 on elsewhere"),
        keeping(here, instance(here), now=NOW + 60),
    ):
        pytest.fail("two schedulers")
    assert scheduler_at_work(here, now=NOW + 600) is None


def test_runners_of_one_store_do_not_disturb_one_another(here: Here) -> None:
    other = replace(here, runner="other")
    with keeping(here, instance(here), now=NOW), keeping(other, instance(other), now=NOW):
        assert [found.runner for found in here.journal.schedulers()] == sorted([here.runner, "other"])
