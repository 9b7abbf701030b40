"""The first schema: runs, what was observed in them, what was concluded."""

import sqlalchemy as sa
from alembic import op

from harness.store.databases import CLUSTERED, ROW_NUMBER

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    _create_names()
    _create_runs()
    _create_observations()
    _create_summaries()
    for name in ("bench_verdicts", "bench_targets"):
        _create_conclusions(name)


def _of_run() -> sa.Column[int]:
    return sa.Column("run", sa.Integer, sa.ForeignKey("bench_runs.key", ondelete="CASCADE"), nullable=False)


def _of_scenario() -> sa.Column[int]:
    return sa.Column("scenario", sa.Integer, sa.ForeignKey("bench_scenarios.key"), nullable=False)


def _payload() -> sa.Column[bytes]:
    return sa.Column("payload", sa.LargeBinary, nullable=False)


def _create_names() -> None:
    op.create_table(
        "bench_scenarios",
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(700), nullable=False, unique=True),
    )
    op.create_table(
        "bench_series",
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("machine_key", sa.String(200), nullable=False),
        _of_scenario(),
        sa.Column("metric", sa.String(100), nullable=False),
        sa.UniqueConstraint("machine_key", "scenario", "metric", name="uq_bench_series_machine_key"),
    )


def _create_runs() -> None:
    op.create_table(
        "bench_runs",
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(200), nullable=False, unique=True),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("touched_at", sa.Double, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("machine_key", sa.String(200), nullable=False),
        sa.Column("selection", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("scenarios", sa.Integer, nullable=False),
        sa.Column("blocks", sa.Integer, nullable=False),
        sa.Column("repetitions", sa.Integer, nullable=False),
        sa.Column("invalid", sa.Integer, nullable=False),
        sa.Column("regressed", sa.Integer),
        sa.Column("improved", sa.Integer),
        sa.Column("missed", sa.Integer),
        sa.Column("payload_format", sa.Integer, nullable=False),
        _payload(),
    )
    for column in ("started_at", "status", "machine_key"):
        op.create_index(f"ix_bench_runs_{column}", "bench_runs", [column])


def _create_observations() -> None:
    op.create_table(
        "bench_launches",
        sa.Column("key", ROW_NUMBER, primary_key=True),
        _of_run(),
        sa.Column("arm_id", sa.Text, nullable=False),
        sa.Column("launch", sa.Integer, nullable=False),
        _payload(),
    )
    op.create_index("ix_bench_launches_run", "bench_launches", ["run"])
    op.create_table(
        "bench_blocks",
        sa.Column("key", ROW_NUMBER, primary_key=True),
        _of_run(),
        sa.Column("launch", sa.Integer, nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
        _payload(),
        sa.UniqueConstraint("run", "launch", "block", name="uq_bench_blocks_run"),
    )
    op.create_table(
        "bench_repetitions",
        sa.Column("key", ROW_NUMBER, primary_key=True),
        _of_run(),
        _of_scenario(),
        sa.Column("launch", sa.Integer, nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
        sa.Column("phase", sa.String(20), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        _payload(),
    )
    op.create_index("ix_bench_repetitions_run", "bench_repetitions", ["run"])


def _create_summaries() -> None:
    figures = ("median", "q1", "q3", "p90", "p95", "p99", "minimum", "maximum")
    interval = ("interval_point", "interval_low", "interval_high", "interval_level")
    op.create_table(
        "bench_summaries",
        sa.Column("series", sa.Integer, sa.ForeignKey("bench_series.key"), primary_key=True, autoincrement=False),
        sa.Column(
            "run",
            sa.Integer,
            sa.ForeignKey("bench_runs.key", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("definition", sa.Integer, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Double) for name in figures),
        sa.Column("reason", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double) for name in interval),
        sa.Column("interval_method", sa.Text),
        sa.Column("interval_n", sa.Integer),
        sa.Column("interval_launches", sa.Integer),
        **CLUSTERED,
    )
    op.create_index("ix_bench_summaries_run", "bench_summaries", ["run"])


def _create_conclusions(name: str) -> None:
    op.create_table(
        name,
        sa.Column(
            "run",
            sa.Integer,
            sa.ForeignKey("bench_runs.key", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        _of_scenario(),
        sa.Column("metric", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        _payload(),
        **CLUSTERED,
    )
