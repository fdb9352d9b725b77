"""The tables of the store.

``tasks.log_seq`` and ``tasks.revision`` are counters under the lock of the task's row: the first gives
log entries their gapless ``seq`` inside the entry's own transaction, the second tells readers that
something about the task changed.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import Plan
from syncmon_ext.model.task import TaskSpec, Throttle
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.model.webhook import Webhook
from syncmon_ext.store.columns import Json, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

store_identity = Table(
    "store_identity",
    metadata,
    Column("store_id", String(32), primary_key=True),  # part of every SSE position
    Column("created_at", UtcDateTime, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("name", Text, nullable=False),
    Column("origin", Text, nullable=False),  # "store", or the file that defined it last
    Column("spec", Json(TaskSpec)),  # NULL for a loop and for a task of a file
    Column("run_id", String(32)),  # the newest run
    Column("log_seq", BigInteger, nullable=False, server_default="0"),
    Column("log_first_seq", BigInteger, nullable=False, server_default="1"),
    Column("revision", BigInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(32), primary_key=True),
    Column("task_id", String(64), ForeignKey("tasks.task_id"), nullable=False),
    Column("state", String(16), nullable=False),
    # What the run froze when it began.
    Column("spec", Json(TaskSpec)),
    Column("source_connection", Json(Connection)),
    Column("target_connection", Json(Connection)),
    Column("plan", Json(Plan)),
    Column("fingerprint", Text),
    Column("only_units", Json(list[str])),  # the units this run is limited to; NULL: all
    # Staging, checkpoints and fence may be in the target: from the claim until they are cleared.
    Column("target_held", Boolean, nullable=False, server_default="0"),
    # The lease.
    Column("token", Integer, nullable=False, server_default="0"),
    Column("owner_host", Text),
    Column("owner_boot_id", Text),
    Column("owner_pid", Integer),
    Column("owner_started", Float),
    Column("heartbeat", BigInteger, nullable=False, server_default="0"),
    Column("takeovers", Integer, nullable=False, server_default="0"),
    Column("takeover_rows", BigInteger, nullable=False, server_default="0"),
    # What a person sees.
    Column("throttle", Json(Throttle)),
    Column("consistency", Text),
    Column("limited_by", String(16)),
    Column("waiting_for", Text),
    Column("elapsed_seconds", Float, nullable=False, server_default="0"),
    Column("stalled_seconds", Float, nullable=False, server_default="0"),
    Column("total_tables", Integer, nullable=False, server_default="0"),
    Column("completed_tables", Integer, nullable=False, server_default="0"),
    Column("failed_tables", Integer, nullable=False, server_default="0"),
    Column("current_table", Text),
    Column("current_table_progress", Float),
    Column("rows_total", BigInteger),
    Column("rows_total_is_estimate", Boolean, nullable=False, server_default="0"),
    Column("rows_committed", BigInteger, nullable=False, server_default="0"),
    Column("bytes_committed", BigInteger, nullable=False, server_default="0"),
    Column("overall_progress", Float),
    Column("speed", Float),
    Column("speed_bytes", Float),
    Column("eta_seconds", Float),
    Column("eta_low_seconds", Float),
    Column("eta_high_seconds", Float),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("error_code", String(64)),
    Column("error", Text),
    Column("hint", Text),
    Column("final_units", Json(list[UnitRuntime])),  # kept when Stop clears the unit runtimes
    Column("webhooks", Json(list[Webhook])),  # told at its end
    Column("announced", String(16)),  # the state that servers told of last; NULL: of none yet
    Index("ix_runs_task_id_started_at", "task_id", "started_at"),
    Index("ix_runs_state", "state"),
)

task_unit_runtimes = Table(
    "task_unit_runtimes",
    metadata,
    Column("run_id", String(32), ForeignKey("runs.run_id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),  # the order of copying
    Column("unit_id", Text, nullable=False),
    Column("table", Text, nullable=False),
    Column("target_table", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("progress", Float),
    Column("rows_total", BigInteger),
    Column("rows_total_is_estimate", Boolean, nullable=False, server_default="0"),
    Column("rows_committed", BigInteger, nullable=False, server_default="0"),
    Column("bytes_committed", BigInteger, nullable=False, server_default="0"),
    Column("speed", Float),
    Column("eta_seconds", Float),
    Column("chunks_total", Integer),
    Column("chunks_committed", Integer, nullable=False, server_default="0"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("error", Text),
    Column("hint", Text),
    Column(
        "revision", BigInteger, nullable=False, server_default="0"
    ),  # of the task, at the change
    # The fields above as JSON, true where it is of the row's revision: who changes a row by its
    # columns (a statement over many, a worker of an older syncmon) leaves it behind. A migration that
    # adds a field sets it to NULL.
    Column("encoded", LargeBinary),
    Column("encoded_revision", BigInteger),
    Index("ix_task_unit_runtimes_run_id_revision", "run_id", "revision"),
    Index("ix_task_unit_runtimes_run_id_unit_id", "run_id", "unit_id"),
)

log_entries = Table(
    "log_entries",
    metadata,
    Column("task_id", String(64), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("run_id", String(32)),
    Column("time", UtcDateTime, nullable=False),
    Column("level", String(8), nullable=False),
    Column("unit", Text),
    Column("message", Text, nullable=False),
    Index("ix_log_entries_task_id_level_seq", "task_id", "level", "seq"),
    sqlite_with_rowid=False,
)

progress_samples = Table(
    "progress_samples",
    metadata,
    Column("run_id", String(32), primary_key=True),
    Column("sample", Integer, primary_key=True),  # counts per run; thinning leaves gaps
    Column("time", UtcDateTime, nullable=False),
    Column("elapsed_seconds", Float, nullable=False),
    Column("rows_committed", BigInteger, nullable=False),
    Column("bytes_committed", BigInteger, nullable=False),
    Column("overall_progress", Float),
    Column("speed", Float),
    Column("speed_bytes", Float),
    sqlite_with_rowid=False,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("task_id", String(64), nullable=False),
    Column("run_id", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
