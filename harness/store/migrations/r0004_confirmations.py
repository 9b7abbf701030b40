"""Which run a due time confirms, where an alert was found, and what a duel has shown of it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty for what earlier versions stored."""
    op.add_column("bench_fires", sa.Column("confirms", sa.String(200)))
    op.add_column("bench_alerts", sa.Column("found_in", sa.String(200)))
    op.add_column("bench_alerts", sa.Column("compared_with", sa.String(200)))
    op.add_column("bench_alerts", sa.Column("confirmation", sa.String(20)))
    op.add_column("bench_alerts", sa.Column("confirmed_by", sa.String(200)))
    op.add_column("bench_alerts", sa.Column("confirmation_reason", sa.Text))
