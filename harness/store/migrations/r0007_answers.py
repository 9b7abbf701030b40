"""The answer of an alert's bisection, beside its sentence."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Of what earlier versions stored, only undecided bisections are known: by their sentence."""
    op.add_column("bench_alerts", sa.Column("answer", sa.String(20)))
    alerts = sa.table("bench_alerts", sa.column("answer"), sa.column("explanation"))
    op.execute(alerts.update().where(alerts.c.explanation.like("Undecided%")).values(answer="undecided"))
