"""The tables of the results database, as the newest migration leaves them.

Raw observations are stored completely, as payloads (`harness.store.payload`), with a few columns for queries. Summaries
are stored as columns: trends over a thousand nights read only them. Every table is named `bench_…`, so that a server's
database can be shared with other applications.

An empty database gets these tables; an older one gets them by the migrations in `harness/store/migrations`. A test
compares both.
"""

from typing import Final

from sqlalchemy import (
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from harness.store.databases import CLUSTERED, ROW_NUMBER

VERSION_TABLE: Final = "bench_version"
"""The table in which Alembic stores the revision. It identifies a database of kokoro-bench."""

HEAD: Final = "0009"
"""The revision that this code reads and writes.

History: 0001, the first; 0002, the schedule's tables; 0003, waived regressions, and how an alert ended; 0004,
confirmations of alerts by a duel; 0005, bisections of alerts; 0006, the messages of alerts; 0007, the answers of
bisections; 0008, the sizes that duels confirmed; 0009, why due times ended.
"""

METADATA: Final = MetaData()


def _of_run(*, in_key: bool = False, index: bool = False) -> Column[int]:
    owner = ForeignKey("bench_runs.key", ondelete="CASCADE")
    return Column("run", Integer, owner, nullable=False, primary_key=in_key, autoincrement=False, index=index or None)


RUNS: Final = Table(
    "bench_runs",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("id", String(200), nullable=False, unique=True),
    Column("started_at", Double, nullable=False, index=True),
    Column("ended_at", Double),
    Column("touched_at", Double, nullable=False),  # when something was last written to it
    Column("status", String(20), nullable=False, index=True),
    Column("machine_key", String(200), nullable=False, index=True),
    Column("selection", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("scenarios", Integer, nullable=False),
    Column("blocks", Integer, nullable=False),
    Column("repetitions", Integer, nullable=False),
    Column("invalid", Integer, nullable=False),
    Column("regressed", Integer),  # these three are NULL until the run is judged
    Column("improved", Integer),
    Column("missed", Integer),
    Column("payload_format", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("waived", Integer),  # NULL until the run is judged, and where an earlier version judged it
)

LAUNCHES: Final = Table(
    "bench_launches",
    METADATA,
    Column("key", ROW_NUMBER, primary_key=True),
    _of_run(index=True),
    Column("arm_id", Text, nullable=False),
    Column("launch", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

BLOCKS: Final = Table(
    "bench_blocks",
    METADATA,
    Column("key", ROW_NUMBER, primary_key=True),
    _of_run(),
    Column("launch", Integer, nullable=False),
    Column("block", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    UniqueConstraint("run", "launch", "block", name="uq_bench_blocks_run"),
)

SCENARIOS: Final = Table(
    "bench_scenarios",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("id", String(700), nullable=False, unique=True),
)

REPETITIONS: Final = Table(
    "bench_repetitions",
    METADATA,
    Column("key", ROW_NUMBER, primary_key=True),
    _of_run(index=True),
    Column("scenario", Integer, ForeignKey("bench_scenarios.key"), nullable=False),
    Column("launch", Integer, nullable=False),
    Column("block", Integer, nullable=False),
    Column("phase", String(20), nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

SERIES: Final = Table(
    "bench_series",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("machine_key", String(200), nullable=False),
    Column("scenario", Integer, ForeignKey("bench_scenarios.key"), nullable=False),
    Column("metric", String(100), nullable=False),
    UniqueConstraint("machine_key", "scenario", "metric", name="uq_bench_series_machine_key"),
)

SUMMARIES: Final = Table(
    "bench_summaries",
    METADATA,
    # The series comes first: the rows of a trend lie side by side, also in SQLite, which then needs no second index.
    Column("series", Integer, ForeignKey("bench_series.key"), primary_key=True, autoincrement=False),
    _of_run(in_key=True),
    Column("position", Integer, nullable=False),
    Column("definition", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    Column("median", Double),
    Column("q1", Double),
    Column("q3", Double),
    Column("p90", Double),
    Column("p95", Double),
    Column("p99", Double),
    Column("minimum", Double),
    Column("maximum", Double),
    Column("reason", Text, nullable=False),
    Column("interval_point", Double),  # NULL, with all that follow: no interval
    Column("interval_low", Double),
    Column("interval_high", Double),
    Column("interval_level", Double),
    Column("interval_method", Text),
    Column("interval_n", Integer),
    Column("interval_launches", Integer),
    Index("ix_bench_summaries_run", "run"),
    **CLUSTERED,
)


def _conclusions(name: str) -> Table:
    return Table(
        name,
        METADATA,
        _of_run(in_key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("scenario", Integer, ForeignKey("bench_scenarios.key"), nullable=False),
        Column("metric", String(100), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("payload", LargeBinary, nullable=False),
        **CLUSTERED,
    )


VERDICTS: Final = _conclusions("bench_verdicts")
TARGETS: Final = _conclusions("bench_targets")

FIRES: Final = Table(
    "bench_fires",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("runner", String(200), nullable=False),
    Column("job", String(100), nullable=False),
    Column("due_at", Double, nullable=False),
    Column("asked", Integer, nullable=False),
    Column("missed", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("queued_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("outcome", String(20)),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False),
    Column("run_id", String(200), nullable=False),  # no foreign key: what was due stays known when a run is deleted
    Column("machine_key", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("boot", String(100), nullable=False),
    Column("log", Text, nullable=False),
    Column("confirms", String(200)),  # NULL: it is a due time of the job itself
    Column("explains", Integer),  # the key of an alert
    Column("cause", String(20)),
    UniqueConstraint("runner", "job", "due_at", name="uq_bench_fires_runner"),
    Index("ix_bench_fires_state", "runner", "state"),
)

ALERTS: Final = Table(
    "bench_alerts",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("machine_key", String(200), nullable=False, index=True),
    Column("kind", String(20), nullable=False),
    Column("subject", Text, nullable=False),
    Column("metric", String(100), nullable=False),
    Column("run_id", String(200), nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("size", Double),
    Column("low", Double),
    Column("high", Double),
    Column("closed_at", Double),
    Column("closed_by", String(200), nullable=False),
    Column("trouble", Text, nullable=False),
    Column("ending", String(20)),  # NULL while it is open; an alert that an earlier version closed had recovered
    Column("found_in", String(200)),  # this and the rest are NULL where an earlier version stored the alert
    Column("compared_with", String(200)),
    Column("confirmation", String(20)),
    Column("confirmed_by", String(200)),
    Column("confirmation_reason", Text),
    Column("bisection", String(20)),
    Column("explanation", Text),
    Column("answer", String(20)),
    Column("confirmed_size", Double),
    Column("confirmed_low", Double),
    Column("confirmed_high", Double),
)

MESSAGES: Final = Table(
    "bench_messages",
    METADATA,
    Column("key", Integer, primary_key=True),
    Column("runner", String(200), nullable=False),
    Column("queued_at", Double, nullable=False),
    Column("done_at", Double),  # NULL while a target is left
    Column("content", Text, nullable=False),  # JSON
    Column("targets", Text, nullable=False),  # JSON: target → how far it is
    Index("ix_bench_messages_done_at", "runner", "done_at"),
)

SCHEDULERS: Final = Table(
    "bench_keepers",  # codespell:ignore keepers
    METADATA,
    Column("runner", String(200), primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("boot", String(100), nullable=False),
    Column("since", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("doing", Text, nullable=False),
)
