"""Find a unit by its name: without this index each write of one looked through all of its run's."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_task_unit_runtimes_run_id_unit_id", "task_unit_runtimes", ["run_id", "unit_id"]
    )
