"""The messages of alerts, with what each alert target got of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, empty: what earlier versions sent is not known."""
    op.create_table(
        "bench_messages",
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("runner", sa.String(200), nullable=False),
        sa.Column("queued_at", sa.Double, nullable=False),
        sa.Column("done_at", sa.Double),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("targets", sa.Text, nullable=False),
        sa.Index("ix_bench_messages_done_at", "runner", "done_at"),
    )
