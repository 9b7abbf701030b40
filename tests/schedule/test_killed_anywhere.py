"""A scheduler that ends at any of its writes, by a kill or a full disk, loses no alert and repeats none unmarked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.core.records.schedule import AlertEnding, Confirmation, FireState
from harness.core.records.verdict import VerdictKind
from harness.store import schedule_log
from harness.store.errors import AwayError

from .test_confirmation import NIGHT, Nights
from .test_thousand_nights import DAY, Run

WRITES = 21
"""How many transactions the log of the schedule gets in two nights with an alert, its duel and its end."""


class Killed(BaseException):
    """The process ends here: no handler of the product sees it."""


class Interruption:
    """Ends the transaction of this number by an `error`, before or after it is `stored`."""

    def __init__(self, number: int, error: BaseException, *, stored: bool) -> None:
        self.number, self.error, self.stored = number, error, stored
        self.writing, self.seen = schedule_log.writing, 0

    @contextmanager
    def __call__(self, database: Any) -> Iterator[Any]:
        self.seen += 1
        hit = self.seen == self.number
        with self.writing(database) as connection:
            yield connection
            if hit and not self.stored:
                raise self.error
        if hit:
            raise self.error


def two_nights(nights: Nights) -> None:
    """A slowdown and its end. A new scheduler goes on at once after one that has ended."""
    for number, verdict in enumerate([VerdictKind.REGRESSED, VerdictKind.UNCHANGED]):
        nights.run_verdict, nights.size = verdict, 0.0 if number else 0.1
        for second in range(6):
            try:
                nights.bench.at(NIGHT + number * DAY + second)
            except (Killed, AwayError):
                nights.bench.daemon = nights.bench.new_daemon()
                nights.bench.daemon.recover()


@pytest.mark.parametrize("number", range(1, WRITES + 1))
@pytest.mark.parametrize(
    ("error", "stored"),
    [(Killed(), False), (Killed(), True), (AwayError("the disk is full", where="results.sqlite"), False)],
    ids=["killed before", "killed after", "disk full"],
)
def test_each_alert_is_sent_once(
    bench: Any, make_run: Run, monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException, *, stored: bool
) -> None:
    nights = Nights(bench, make_run, promote="clean")
    interruption = Interruption(number, error, stored=stored)
    monkeypatch.setattr(schedule_log, "writing", interruption)
    two_nights(nights)
    assert interruption.seen >= WRITES
    first = {message.id: message for message in reversed(nights.told)}
    assert [message.event for message in reversed(first.values())] == ["alert", "recovered"]
    assert all(message.repeated for message in nights.told if message is not first[message.id])
    [alert] = nights.alerts
    assert (alert.confirmation, alert.ending) == (Confirmation.CONFIRMED, AlertEnding.RECOVERED)
    assert {fire.state for fire in bench.fires()} == {FireState.ENDED}
    assert (len(nights.runs), len(nights.duels)) == (2, 1)
    assert bench.promoted == {nights.runs[1]}
