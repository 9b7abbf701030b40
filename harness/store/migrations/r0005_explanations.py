"""Which alert a due time bisects, and what a bisection has found."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty for what earlier versions stored."""
    op.add_column("bench_fires", sa.Column("explains", sa.Integer))
    op.add_column("bench_alerts", sa.Column("bisection", sa.String(20)))
    op.add_column("bench_alerts", sa.Column("explanation", sa.Text))
