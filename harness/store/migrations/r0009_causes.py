"""Why a due time ended as it did, beside its sentence."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SENTENCE = "the scheduler was ended"
"""What earlier versions stored of a run that ended with its scheduler."""


def upgrade() -> None:
    """Add the column, and read it from the sentences of earlier versions."""
    op.add_column("bench_fires", sa.Column("cause", sa.String(20)))
    fires = sa.table("bench_fires", sa.column("cause"), sa.column("reason"), sa.column("outcome"))
    ended = (fires.c.reason == SENTENCE) & (fires.c.outcome == "interrupted")
    op.execute(fires.update().where(ended).values(cause="scheduler ended"))
