"""The first schema of the store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "log_entries",
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "seq", name=op.f("pk_log_entries")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_log_entries_task_id_level_seq", "log_entries", ["task_id", "level", "seq"], unique=False
    )
    op.create_table(
        "progress_samples",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("elapsed_seconds", sa.Float(), nullable=False),
        sa.Column("rows_committed", sa.BigInteger(), nullable=False),
        sa.Column("bytes_committed", sa.BigInteger(), nullable=False),
        sa.Column("overall_progress", sa.Float(), nullable=True),
        sa.Column("speed", sa.Float(), nullable=True),
        sa.Column("speed_bytes", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "sample", name=op.f("pk_progress_samples")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "store_identity",
        sa.Column("store_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", name=op.f("pk_store_identity")),
    )
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=True),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("log_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("log_first_seq", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_tasks")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("spec", sa.Text(), nullable=True),
        sa.Column("source_connection", sa.Text(), nullable=True),
        sa.Column("target_connection", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("only_units", sa.Text(), nullable=True),
        sa.Column("target_held", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("owner_host", sa.Text(), nullable=True),
        sa.Column("owner_boot_id", sa.Text(), nullable=True),
        sa.Column("owner_pid", sa.Integer(), nullable=True),
        sa.Column("owner_started", sa.Float(), nullable=True),
        sa.Column("heartbeat", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("takeovers", sa.Integer(), server_default="0", nullable=False),
        sa.Column("takeover_rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("throttle", sa.Text(), nullable=True),
        sa.Column("consistency", sa.Text(), nullable=True),
        sa.Column("limited_by", sa.String(length=16), nullable=True),
        sa.Column("waiting_for", sa.Text(), nullable=True),
        sa.Column("elapsed_seconds", sa.Float(), server_default="0", nullable=False),
        sa.Column("stalled_seconds", sa.Float(), server_default="0", nullable=False),
        sa.Column("total_tables", sa.Integer(), server_default="0", nullable=False),
        sa.Column("completed_tables", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed_tables", sa.Integer(), server_default="0", nullable=False),
        sa.Column("current_table", sa.Text(), nullable=True),
        sa.Column("current_table_progress", sa.Float(), nullable=True),
        sa.Column("rows_total", sa.BigInteger(), nullable=True),
        sa.Column("rows_total_is_estimate", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("rows_committed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes_committed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("overall_progress", sa.Float(), nullable=True),
        sa.Column("speed", sa.Float(), nullable=True),
        sa.Column("speed_bytes", sa.Float(), nullable=True),
        sa.Column("eta_seconds", sa.Float(), nullable=True),
        sa.Column("eta_low_seconds", sa.Float(), nullable=True),
        sa.Column("eta_high_seconds", sa.Float(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("final_units", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name=op.f("fk_runs_task_id_tasks")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_state", "runs", ["state"], unique=False)
    op.create_index("ix_runs_task_id_started_at", "runs", ["task_id", "started_at"], unique=False)
    op.create_table(
        "task_unit_runtimes",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("target_table", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.Float(), nullable=True),
        sa.Column("rows_total", sa.BigInteger(), nullable=True),
        sa.Column("rows_total_is_estimate", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("rows_committed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes_committed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("speed", sa.Float(), nullable=True),
        sa.Column("eta_seconds", sa.Float(), nullable=True),
        sa.Column("chunks_total", sa.Integer(), nullable=True),
        sa.Column("chunks_committed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name=op.f("fk_task_unit_runtimes_run_id_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", "ordinal", name=op.f("pk_task_unit_runtimes")),
    )
    op.create_index(
        "ix_task_unit_runtimes_run_id_revision",
        "task_unit_runtimes",
        ["run_id", "revision"],
        unique=False,
    )
