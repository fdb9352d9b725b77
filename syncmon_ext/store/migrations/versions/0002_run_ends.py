"""Runs know who is told of their end, and what was told already."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what older runs came to is no news any more."""
    op.add_column("runs", sa.Column("webhooks", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("announced", sa.String(length=16), nullable=True))
    op.execute("UPDATE runs SET announced = state")
