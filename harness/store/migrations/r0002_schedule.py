"""What the schedule keeps: due times, alerts, and who keeps the watch."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the schedule's tables."""
    op.create_table(
        "bench_fires",
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("runner", sa.String(200), nullable=False),
        sa.Column("job", sa.String(100), nullable=False),
        sa.Column("due_at", sa.Double, nullable=False),
        sa.Column("asked", sa.Integer, nullable=False),
        sa.Column("missed", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("queued_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("outcome", sa.String(20)),
        sa.Column("exit_code", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("run_id", sa.String(200), nullable=False),
        sa.Column("machine_key", sa.String(200), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("boot", sa.String(100), nullable=False),
        sa.Column("log", sa.Text, nullable=False),
        sa.UniqueConstraint("runner", "job", "due_at", name="uq_bench_fires_runner"),
    )
    op.create_index("ix_bench_fires_state", "bench_fires", ["runner", "state"])
    op.create_table(
        "bench_alerts",
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("machine_key", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("metric", sa.String(100), nullable=False),
        sa.Column("run_id", sa.String(200), nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("size", sa.Double),
        sa.Column("low", sa.Double),
        sa.Column("high", sa.Double),
        sa.Column("closed_at", sa.Double),
        sa.Column("closed_by", sa.String(200), nullable=False),
        sa.Column("trouble", sa.Text, nullable=False),
    )
    op.create_index("ix_bench_alerts_machine_key", "bench_alerts", ["machine_key"])
    op.create_table(
        "bench_keepers",  # codespell:ignore keepers
        sa.Column("runner", sa.String(200), primary_key=True),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("boot", sa.String(100), nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("doing", sa.Text, nullable=False),
    )
