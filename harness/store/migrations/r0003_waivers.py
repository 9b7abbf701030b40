"""How many regressions of a run are waived, and how an alert ended."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns, empty for what earlier versions stored."""
    op.add_column("bench_runs", sa.Column("waived", sa.Integer))
    op.add_column("bench_alerts", sa.Column("ending", sa.String(20)))
