"""The schedule's tables: due times with their outcomes, alerts with their messages, and running schedulers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table, delete, func, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError

from harness.core.records.bisection import BisectionAnswer
from harness.core.records.schedule import (
    Alert,
    AlertEnding,
    AlertKind,
    Confirmation,
    Delivery,
    Fire,
    FireCause,
    FireOutcome,
    FireState,
    SchedulerInstance,
    StoredMessage,
)
from harness.core.records.verdict import Estimate
from harness.store.databases import Database, lock_for_migration
from harness.store.errors import explained, reading, writing
from harness.store.schema import ALERTS, FIRES, MESSAGES, SCHEDULERS


class ScheduleLog:
    """Access to the schedule's tables. Every method is one transaction, unless it is called on the log of `together`.

    Methods raise StoreError if the database fails, and AwayError if that may pass. A runner is one installation with a
    schedule; several may share a database, each with its own rows.
    """

    def __init__(self, database: Database, *, joined: Connection | None = None) -> None:
        """`joined` is the transaction that alerts and messages are written in, if it is not one for each method."""
        self._database = database
        self._joined = joined

    @contextmanager
    def together(self) -> Iterator["ScheduleLog"]:
        """One transaction: all alerts and messages that are written to the yielded log are stored, or none."""
        with writing(self._database) as connection:
            yield ScheduleLog(self._database, joined=connection)

    @property
    def place(self) -> str:
        """The database's location, for messages."""
        return self._database.place

    @property
    def is_local(self) -> bool:
        """Whether only this machine's processes can write to it."""
        return self._database.is_local

    @property
    def engine(self) -> Engine:
        """The engine for a job store that has its table here (see `provide`) and writes in single statements."""
        return self._database.readers if self.is_local else self._database.writers

    def provide(self, table: Table) -> None:
        """Create a job store's `table` if it does not exist.

        It uses a transaction that locks for writing at its start. The job store's own transaction reads first and then
        writes, which SQLite refuses at once if another process is writing.
        """
        with reading(self._database) as connection:
            if inspect(connection).has_table(table.name):
                return
        with writing(self._database) as connection:
            lock_for_migration(connection)
            table.create(connection, checkfirst=True)

    # Due times.

    def enqueue(
        self,
        *,
        runner: str,
        job: str,
        due_at: float,
        asked: bool,
        missed: int,
        now: float,
        machine_key: str,
        **follows: str | int,
    ) -> bool:
        """Put a due time in the queue. Return False if it is already known, so that nothing runs twice.

        `follows` says what it follows, if not the clock: the run that it `confirms`, or the alert that it `explains`.
        """
        row = {
            "runner": runner,
            "job": job,
            "due_at": due_at,
            "asked": int(asked),
            "missed": missed,
            "state": FireState.QUEUED.value,
            "queued_at": now,
            "machine_key": machine_key,
            "reason": "",
            "run_id": "",
            "pid": 0,
            "boot": "",
            "log": "",
            "confirms": "",
            "explains": None,
            "cause": None,
            **follows,
        }
        known = select(FIRES.c.key).where(FIRES.c.runner == runner, FIRES.c.job == job, FIRES.c.due_at == due_at)
        with explained(self._database):
            try:
                with self._database.writers.begin() as connection:
                    if connection.execute(known).first() is not None:
                        return False
                    connection.execute(insert(FIRES).values(row))
            except IntegrityError:
                return False  # another process was faster by a moment
        return True

    def change(self, key: int, **values: object) -> None:
        """Set columns of a due time, such as `state`, `pid` and `run_id`."""
        with writing(self._database) as connection:
            connection.execute(update(FIRES).where(FIRES.c.key == key).values(**values))

    def note_end(self, ended: Fire) -> None:
        """Record how a due time ended. Its state stays: the actions that follow the end are still to be run."""
        enums = {"outcome": ended.outcome, "cause": ended.cause}
        plain = {name: getattr(ended, name) for name in ("ended_at", "reason", "run_id", "exit_code")}
        self.change(ended.key, **plain, **{name: each and each.value for name, each in enums.items()})

    def open_fires(self, runner: str) -> tuple[Fire, ...]:
        """Queued and running due times, in the order of queueing."""
        question = select(FIRES).where(FIRES.c.runner == runner, FIRES.c.state != FireState.ENDED.value)
        return self._fires(question.order_by(FIRES.c.queued_at, FIRES.c.key))

    def fire(self, key: int) -> Fire:
        return self._fires(select(FIRES).where(FIRES.c.key == key))[0]

    def fires(self, *, runner: str | None = None, job: str | None = None, limit: int | None = None) -> tuple[Fire, ...]:
        """Due times, newest first."""
        question = select(FIRES).order_by(FIRES.c.due_at.desc(), FIRES.c.key.desc()).limit(limit)
        if runner is not None:
            question = question.where(FIRES.c.runner == runner)
        if job is not None:
            question = question.where(FIRES.c.job == job)
        return self._fires(question)

    def counts(self, runner: str) -> dict[tuple[str, FireOutcome], int]:
        """(Job, outcome) → count, for a runner."""
        question = (
            select(FIRES.c.job, FIRES.c.outcome, func.count())
            .where(FIRES.c.runner == runner, FIRES.c.outcome.is_not(None))
            .group_by(FIRES.c.job, FIRES.c.outcome)
        )
        with reading(self._database) as connection:
            return {(job, FireOutcome(outcome)): count for job, outcome, count in connection.execute(question)}

    def fire_of_run(self, run_id: str) -> Fire | None:
        """The due time that made a run; None if no schedule did."""
        return next(iter(self._fires(select(FIRES).where(FIRES.c.run_id == run_id))), None)

    def logs_before(self, ended_before: float, *, runner: str) -> tuple[Fire, ...]:
        """Due times that ended earlier and still have a log."""
        return self._fires(
            select(FIRES).where(FIRES.c.runner == runner, FIRES.c.ended_at < ended_before, FIRES.c.log != "")
        )

    # Alerts.

    def alerts(self, machine_key: str | None = None, *, limit: int | None = None) -> tuple[Alert, ...]:
        """All alerts, newest first."""
        question = select(ALERTS).order_by(ALERTS.c.opened_at.desc(), ALERTS.c.key.desc()).limit(limit)
        if machine_key is not None:
            question = question.where(ALERTS.c.machine_key == machine_key)
        with reading(self._database) as connection:
            return tuple(_alert(row) for row in connection.execute(question))

    def open_alert(self, alert: Alert) -> int:
        """Store an alert and return its number; its `key` is ignored."""
        values = asdict(alert) | {"kind": alert.kind.value}
        values["confirmation"] = alert.confirmation.value if alert.confirmation else None
        del values["key"]
        with self._writing() as connection:
            return int(connection.execute(insert(ALERTS).values(values).returning(ALERTS.c.key)).scalar_one())

    def close_alerts(
        self,
        keys: Sequence[int],
        *,
        closed_at: float,
        closed_by: str,
        ending: AlertEnding = AlertEnding.RECOVERED,
    ) -> None:
        """Close alerts, as recovered unless `ending` says otherwise."""
        with self._writing() as connection:
            changes = update(ALERTS).where(ALERTS.c.key.in_(keys))
            connection.execute(changes.values(closed_at=closed_at, closed_by=closed_by, ending=ending.value))

    def note_trouble(self, keys: Sequence[int], trouble: str) -> None:
        """Record that some channel could not be notified of these alerts."""
        with self._writing() as connection:
            connection.execute(update(ALERTS).where(ALERTS.c.key.in_(keys)).values(trouble=trouble))

    def note_confirmation(
        self,
        key: int,
        *,
        reason: str,
        state: Confirmation | None = None,
        confirmed_by: str = "",
        change: Estimate | None = None,
    ) -> None:
        """Record what a duel has shown of an alert: the `change` if it confirmed it.

        Without a `state` only the reason changes.
        """
        values: dict[str, object] = {"confirmation_reason": reason}
        if state is not None:
            values |= {"confirmation": state.value, "confirmed_by": confirmed_by}
        if change is not None:
            values |= {"confirmed_size": change.point, "confirmed_low": change.low, "confirmed_high": change.high}
        with self._writing() as connection:
            connection.execute(update(ALERTS).where(ALERTS.c.key == key).values(**values))

    def note_explanation(
        self, key: int, explanation: str, *, bisection: str = "", answer: BisectionAnswer | None = None
    ) -> None:
        """Record what a bisection has found of an alert, or why there is none."""
        values = {"explanation": explanation, "bisection": bisection, "answer": answer.value if answer else None}
        with self._writing() as connection:
            connection.execute(update(ALERTS).where(ALERTS.c.key == key).values(**values))

    # Messages of alerts.

    def add_message(self, content: str, *, runner: str, targets: Sequence[str], now: float) -> None:
        """Store a message that is due for every target."""
        row = {"runner": runner, "queued_at": now, "done_at": None, "content": content}
        with self._writing() as connection:
            connection.execute(
                insert(MESSAGES).values(row | {"targets": json.dumps(dict.fromkeys(targets, Delivery.DUE.value))})
            )

    def messages(self, runner: str | None = None, *, left: bool = False) -> tuple[StoredMessage, ...]:
        """All messages, oldest first; of a runner; `left`: those that a target has not got."""
        question = select(MESSAGES).order_by(MESSAGES.c.key)
        if runner is not None:
            question = question.where(MESSAGES.c.runner == runner)
        if left:
            question = question.where(MESSAGES.c.done_at.is_(None))
        with reading(self._database) as connection:
            return tuple(_message(row) for row in connection.execute(question))

    def note_delivery(self, key: int, targets: Mapping[str, Delivery], *, done_at: float | None = None) -> None:
        """Record how far a message is on its way to every target."""
        stored = json.dumps({target: delivery.value for target, delivery in targets.items()})
        with self._writing() as connection:
            connection.execute(update(MESSAGES).where(MESSAGES.c.key == key).values(targets=stored, done_at=done_at))

    # Schedulers.

    def scheduler(self, runner: str) -> SchedulerInstance | None:
        """The latest scheduler of a runner."""
        with reading(self._database) as connection:
            row = connection.execute(select(SCHEDULERS).where(SCHEDULERS.c.runner == runner)).one_or_none()
        return None if row is None else SchedulerInstance(**row._mapping)  # noqa: SLF001 - the public name of a row's fields

    def schedulers(self) -> tuple[SchedulerInstance, ...]:
        with reading(self._database) as connection:
            rows = connection.execute(select(SCHEDULERS).order_by(SCHEDULERS.c.runner)).all()
        return tuple(SchedulerInstance(**row._mapping) for row in rows)  # noqa: SLF001 - likewise

    def keep(self, instance: SchedulerInstance) -> None:
        """Record a running scheduler."""
        with writing(self._database) as connection:
            connection.execute(delete(SCHEDULERS).where(SCHEDULERS.c.runner == instance.runner))
            connection.execute(insert(SCHEDULERS).values(asdict(instance)))

    def leave(self, runner: str) -> None:
        """Record that the runner has no running scheduler."""
        with writing(self._database) as connection:
            connection.execute(delete(SCHEDULERS).where(SCHEDULERS.c.runner == runner))

    # Inside.

    def _writing(self) -> AbstractContextManager[Connection]:
        return writing(self._database) if self._joined is None else nullcontext(self._joined)

    def _fires(self, question: Select[Any]) -> tuple[Fire, ...]:
        with reading(self._database) as connection:
            return tuple(_fire(row) for row in connection.execute(question))

    def explained(self) -> AbstractContextManager[None]:
        """Raise errors of a job store on `engine` as StoreError."""
        return explained(self._database)


def _values(row: Row[Any], table: Table) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in table.columns}


def _fire(row: Row[Any]) -> Fire:
    values = _values(row, FIRES)
    outcome = values["outcome"]
    return Fire(
        **values
        | {
            "state": FireState(values["state"]),
            "outcome": None if outcome is None else FireOutcome(outcome),
            "asked": bool(values["asked"]),
            "confirms": values["confirms"] or "",
            "cause": None if values["cause"] is None else FireCause(values["cause"]),
        }
    )


_LATER_TEXTS = ("found_in", "compared_with", "confirmed_by", "confirmation_reason", "bisection", "explanation")
"""Columns with texts that are NULL where an earlier version stored the alert."""


def _alert(row: Row[Any]) -> Alert:
    values = _values(row, ALERTS)
    ending, confirmation, answer = values["ending"], values["confirmation"], values["answer"]
    texts = {name: values[name] or "" for name in _LATER_TEXTS}
    return Alert(
        **values
        | texts
        | {
            "kind": AlertKind(values["kind"]),
            "ending": None if ending is None else AlertEnding(ending),
            "confirmation": None if confirmation is None else Confirmation(confirmation),
            "answer": None if answer is None else BisectionAnswer(answer),
        }
    )


def _message(row: Row[Any]) -> StoredMessage:
    values = _values(row, MESSAGES)
    targets = {target: Delivery(delivery) for target, delivery in json.loads(values["targets"]).items()}
    return StoredMessage(**values | {"targets": targets})
