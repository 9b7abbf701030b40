"""Messages of alerts over kills, failing targets and a failing database: on the scripted clock, through the daemon."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.core.records.schedule import Delivery
from harness.schedule.launcher import Exit
from harness.schedule.notifiers import AlertError, Channel, Message
from harness.schedule.outbox import GIVEN_UP_S
from harness.store.errors import AwayError
from harness.store.schedule_log import ScheduleLog

START = 1_767_225_600.0
NIGHT = START + 2.5 * 3_600
DAY = 86_400.0
Run = Callable[..., str]


class Killed(BaseException):
    """The end of the process: nothing that follows is done, and no handler of exceptions sees it."""


class Target:
    """An alert target that keeps what it gets and does what the test says before or after that."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.got: list[Message] = []
        self.before: BaseException | None = None
        self.after: BaseException | None = None
        self.reads = False

    def channel(self) -> Channel:
        return Channel(name=self.name, key=self.name, send=self.send, has=self.has)

    def send(self, message: Message) -> None:
        if self.before:
            raise self.before
        self.got.append(message)
        if self.after:
            raise self.after

    def has(self, message: Message) -> bool:
        return self.reads and message.id in {each.id for each in self.got}

    @property
    def repeated(self) -> list[bool]:
        return [message.repeated for message in self.got]


class Alarm:
    """A job that fails at each of its nights, and two targets."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.first, self.second = Target("first"), Target("second")
        bench.put()
        self.restart()

    @property
    def journal(self) -> ScheduleLog:
        journal: ScheduleLog = self.bench.store.journal()
        return journal

    def restart(self) -> None:
        daemon = self.bench.new_daemon()
        post_run = daemon.context.post_run
        targets = [self.first.channel(), self.second.channel()]
        outbox = replace(post_run.outbox, channels=targets)
        daemon.context = replace(daemon.context, post_run=replace(post_run, outbox=outbox))
        self.bench.daemon = daemon
        daemon.recover()

    def night(self, number: int = 0, code: int = 2) -> None:
        self.bench.at(NIGHT + number * DAY)
        self.bench.launcher.started[-1].ends = Exit(code=code)
        self.bench.daemon.step()

    def killed_night(self) -> None:
        with pytest.raises(Killed):
            self.night()
        self.first.before = self.first.after = self.second.before = self.second.after = None


@pytest.fixture
def alarm(bench: Any) -> Alarm:
    return Alarm(bench)


class TestKilled:
    """The scheduler is killed at a moment of the way of a message."""

    def test_after_target_took_it_sends_it_again_and_says_so(self, alarm: Alarm) -> None:
        alarm.first.after = Killed()
        alarm.killed_night()
        alarm.restart()
        assert alarm.first.repeated == [False, True]
        assert len({message.id for message in alarm.first.got}) == 1
        assert alarm.second.repeated == [False]  # nothing had been begun there
        alarm.restart()
        assert (len(alarm.first.got), len(alarm.second.got)) == (2, 1)

    def test_target_that_can_be_read_gets_it_once(self, alarm: Alarm) -> None:
        alarm.first.reads, alarm.first.after = True, Killed()
        alarm.killed_night()
        alarm.restart()
        assert (alarm.first.repeated, alarm.second.repeated) == ([False], [False])

    def test_target_that_can_be_read_and_has_nothing_gets_it(self, alarm: Alarm) -> None:
        alarm.first.reads, alarm.first.before = True, Killed()
        alarm.killed_night()
        assert alarm.first.got == []
        alarm.restart()
        assert len(alarm.first.got) == 1

    def test_at_second_target_does_not_repeat_it_at_first(self, alarm: Alarm) -> None:
        alarm.second.after = Killed()
        alarm.killed_night()
        alarm.restart()
        assert (alarm.first.repeated, alarm.second.repeated) == ([False], [False, True])

    def test_between_record_of_alert_and_message_loses_nothing(
        self, alarm: Alarm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ScheduleLog, "messages", _killed)
        alarm.killed_night()
        monkeypatch.undo()
        assert len(alarm.journal.alerts()) == 1
        alarm.restart()
        assert (alarm.first.repeated, alarm.second.repeated) == ([False], [False])

    @pytest.mark.parametrize("method", ["open_alert", "add_message"])
    def test_while_alert_is_recorded_records_both_or_nothing(
        self, alarm: Alarm, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        monkeypatch.setattr(ScheduleLog, method, _killed)
        alarm.killed_night()
        monkeypatch.undo()
        assert (alarm.journal.alerts(), alarm.journal.messages()) == ((), ())
        alarm.restart()
        assert (len(alarm.journal.alerts()), alarm.first.repeated) == (1, [False])

    def test_while_end_is_recorded_tells_end_once(
        self, alarm: Alarm, make_run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alarm.night()
        alarm.bench.at(NIGHT + DAY)
        process = alarm.bench.launcher.started[-1]
        alarm.bench.begin(process, make_run(alarm.bench.store, at=NIGHT + DAY))
        process.ends = Exit(code=0)
        monkeypatch.setattr(ScheduleLog, "add_message", _killed)
        with pytest.raises(Killed):
            alarm.bench.daemon.step()
        monkeypatch.undo()
        assert alarm.journal.alerts()[0].closed_at is None
        alarm.restart()
        assert [message.event for message in alarm.first.got] == ["alert", "recovered"]


class TestFailingTarget:
    """A target that is away, or refuses."""

    def test_gets_message_when_it_is_back_and_status_says_so_meanwhile(self, alarm: Alarm) -> None:
        alarm.first.before = AlertError("answered 500")
        alarm.night()
        assert alarm.journal.alerts()[0].trouble == "first: answered 500"
        assert (len(alarm.first.got), alarm.second.repeated) == (0, [False])
        alarm.first.before = None
        alarm.restart()
        assert (alarm.first.repeated, alarm.second.repeated) == ([True], [False])
        assert alarm.journal.alerts()[0].trouble == ""
        assert alarm.journal.messages(left=True) == ()

    def test_is_given_up_after_a_day(self, alarm: Alarm) -> None:
        alarm.first.before = AlertError("answered 500")
        alarm.night()
        alarm.bench.clock.to(NIGHT + GIVEN_UP_S + 60)
        alarm.restart()
        [message] = alarm.journal.messages()
        assert message.targets == {"first": Delivery.GIVEN_UP, "second": Delivery.SENT}
        assert message.done_at is not None
        assert alarm.journal.alerts()[0].trouble == "first: answered 500"

    def test_that_is_no_longer_declared_holds_nothing_up(self, alarm: Alarm) -> None:
        alarm.first.before = AlertError("answered 500")
        alarm.night()
        alarm.first.name = "other"
        alarm.restart()
        assert alarm.journal.messages(left=True) == ()


def test_database_that_stays_away_ends_the_schedule_and_next_start_tells_once(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise AwayError("the disk is full")

    monkeypatch.setattr(ScheduleLog, "add_message", away)
    with pytest.raises(AwayError):
        alarm.night()
    monkeypatch.undo()
    alarm.restart()
    assert (len(alarm.journal.alerts()), alarm.first.repeated, alarm.second.repeated) == (1, [False], [False])


def _killed(*_: object, **__: object) -> None:
    raise Killed
