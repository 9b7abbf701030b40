"""Sends stored messages to the alert targets: none is lost, and none is sent twice unnoticed.

A message is stored in the transaction that stores what it is about. Before a target is called, that is recorded, and
afterwards what came of it. A kill in between leaves a message that may have arrived: it is sent again with the same
id, and says so. A target of which that can be read, such as a file, gets it once.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from harness.core.codec import decode, encode
from harness.core.records.schedule import Delivery, StoredMessage
from harness.schedule.notifiers import Channel, Message, tell
from harness.store.schedule_log import ScheduleLog

Result = TypeVar("Result")

GIVEN_UP_S: Final = 86_400.0
"""A message that a target has not taken for so long (s) is given up for that target."""

_LEFT: Final = (Delivery.DUE, Delivery.BEGUN, Delivery.FAILED)


class Retry(Protocol):
    """Runs a transaction, again if the database is unavailable for a while."""

    def __call__(self, action: Callable[[], Result], /) -> Result:
        """The result of `action`, or its last error."""
        ...


def at_once(action: Callable[[], Result], /) -> Result:
    """Run a transaction once."""
    return action()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The messages of a schedule to its alert targets."""

    journal: ScheduleLog
    channels: Sequence[Channel]
    say: Callable[[str], None]
    retry: Retry = at_once

    def add(self, message: Message, *, to: ScheduleLog, runner: str, now: float) -> None:
        """Store a message in the transaction of the log `to`. Without targets there is nothing to send."""
        if self.channels:
            targets = [channel.key for channel in self.channels]
            to.add_message(json.dumps(encode(message), ensure_ascii=False), runner=runner, targets=targets, now=now)

    def send(self, runner: str, *, now: float) -> None:
        """Send what a runner's targets have not got, oldest first. A target that fails gets no more until next time."""
        failing: dict[str, str] = {}
        for stored in self.retry(lambda: self.journal.messages(runner, left=True)):
            self._send(stored, failing, now=now)

    def _send(self, stored: StoredMessage, failing: dict[str, str], *, now: float) -> None:
        message = decode(Message, json.loads(stored.content), ignore_unknown=True)
        targets = dict(stored.targets)
        known = {channel.key: channel for channel in self.channels}
        troubles = []
        for key in [key for key, delivery in targets.items() if delivery in _LEFT]:
            channel = known.get(key)
            if channel is None:
                targets[key] = Delivery.GIVEN_UP  # it is no longer declared
            elif trouble := failing.get(key) or self._tell(channel, message, targets, stored):
                failing[key] = trouble
                troubles.append(trouble)
            if targets[key] in _LEFT and now - stored.queued_at > GIVEN_UP_S:
                targets[key] = Delivery.GIVEN_UP
        left = any(delivery in _LEFT for delivery in targets.values())
        self.retry(lambda: self.journal.note_delivery(stored.key, targets, done_at=None if left else now))
        alerts = [line.alert for line in message.alerts]
        if troubles:
            self.say(f"an alert could not be delivered: {'; '.join(troubles)}")
        if troubles or not left:
            self.retry(lambda: self.journal.note_trouble(alerts, "; ".join(troubles)))

    def _tell(self, channel: Channel, message: Message, targets: dict[str, Delivery], stored: StoredMessage) -> str:
        """Send a message to a target, and set how far it is. Returns the error, or ""."""
        again = targets[channel.key] is not Delivery.DUE
        if again and channel.has(message):
            targets[channel.key] = Delivery.SENT
            return ""
        targets[channel.key] = Delivery.BEGUN
        self.retry(lambda: self.journal.note_delivery(stored.key, targets))
        trouble = tell([channel], replace(message, repeated=True) if again else message)
        targets[channel.key] = Delivery.FAILED if trouble else Delivery.SENT
        return trouble
