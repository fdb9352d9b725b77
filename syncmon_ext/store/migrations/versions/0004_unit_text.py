"""Units are kept as JSON too: reading 10,000 of them field by field takes longer than a page may wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was written before is encoded when it is read."""
    op.add_column("task_unit_runtimes", sa.Column("encoded", sa.LargeBinary(), nullable=True))
    op.add_column(
        "task_unit_runtimes", sa.Column("encoded_revision", sa.BigInteger(), nullable=True)
    )
