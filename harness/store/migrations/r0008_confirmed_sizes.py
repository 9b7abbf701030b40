"""The size of an alert's change as its duel measured it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty for what earlier versions stored."""
    for name in ("confirmed_size", "confirmed_low", "confirmed_high"):
        op.add_column("bench_alerts", sa.Column(name, sa.Double))
