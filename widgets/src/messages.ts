// The messages of the wire: what the server sends and takes, field by field. Types only.
// Times are ISO 8601 in UTC, percentages 0-100, rates per second.

export type TaskState =
  | "idle"
  | "running"
  | "pausing"
  | "paused"
  | "stopping"
  | "stopped"
  | "completed"
  | "failed"
  | "interrupted";

export type TaskKind = "copy" | "loop";

export type UnitState =
  | "pending"
  | "running"
  | "swapping"
  | "paused"
  | "completed"
  | "failed"
  | "stopped"
  | "interrupted"
  | "skipped";

export type Level = "info" | "success" | "warning" | "error";

export interface UnitProgress {
  unit_id: string;
  table: string;
  target_table: string;
  state: UnitState;
  progress: number | null;
  rows_total: number | null;
  rows_total_is_estimate: boolean;
  rows_committed: number;
  bytes_committed: number;
  speed: number | null;
  eta_seconds: number | null;
  chunks_total: number | null;
  chunks_committed: number;
  attempt: number;
  started_at: string | null;
  finished_at: string | null;
  error: string | null;
  hint: string | null;
}

export interface Progress {
  task_id: string;
  run_id: string | null;
  name: string;
  state: TaskState;
  overall_progress: number | null;
  total_tables: number;
  completed_tables: number;
  failed_tables: number;
  current_table: string | null;
  current_table_progress: number | null;
  rows_total: number | null;
  rows_total_is_estimate: boolean;
  rows_committed: number;
  bytes_committed: number;
  speed: number | null;
  speed_bytes: number | null;
  eta_seconds: number | null;
  eta_low_seconds: number | null;
  eta_high_seconds: number | null;
  elapsed_seconds: number;
  stalled_seconds: number;
  waiting_for: string | null;
  consistency: string | null;
  limited_by: string | null;
  started_at: string | null;
  finished_at: string | null;
  updated_at: string | null;
  error: string | null;
  hint: string | null;
  units: UnitProgress[];
  units_partial: boolean;
  kind: TaskKind;
}

export interface LogEntry {
  seq: number;
  task_id: string;
  run_id: string | null;
  time: string;
  level: Level;
  unit: string | null;
  message: string;
}

export interface TableSpec {
  name: string;
  target: string | null;
}

export interface TaskSpec {
  source: string;
  target: string;
  mode: string;
  direct: boolean;
  tables: (string | TableSpec)[];
}

export interface Task {
  task_id: string;
  kind: TaskKind;
  name: string;
  origin: string;
  spec: TaskSpec | null;
  progress: Progress;
}

export interface TaskList {
  tasks: Task[];
  /** What is wrong with syncmon.toml; the last good version stays in use. */
  configuration_error: ErrorBody | null;
}

/** The event `tasks`: the ids of those that came, changed or went. */
export interface TaskEvents {
  made: string[];
  changed: string[];
  removed: string[];
}

export interface ColumnPlan {
  name: string;
  source_type: string;
  target_type: string;
  nullable: boolean;
  lossy: boolean;
  reason: string;
}

export interface UnitPlan {
  unit_id: string;
  ordinal: number;
  source_table: string;
  target_table: string;
  columns: ColumnPlan[];
  key: string[];
  chunk_method: string;
  route: string;
  swap: string;
  swap_reason: string;
  rows_total: number | null;
  rows_total_is_estimate: boolean;
  depends_on: string[];
  warnings: string[];
  errors: string[];
}

export interface Plan {
  task_id: string;
  consistency: string;
  guarantee: string;
  units: UnitPlan[];
}

export interface RunSummary {
  run_id: string;
  task_id: string;
  state: TaskState;
  started_at: string;
  finished_at: string | null;
  elapsed_seconds: number;
  rows_committed: number;
  bytes_committed: number;
  total_tables: number;
  completed_tables: number;
  failed_tables: number;
  error: string | null;
}

export interface HistorySample {
  task_id: string;
  run_id: string;
  time: string;
  elapsed_seconds: number;
  rows_committed: number;
  bytes_committed: number;
  overall_progress: number | null;
  speed: number | null;
  speed_bytes: number | null;
}

export interface ErrorBody {
  code: string;
  message: string;
  hint: string;
}

export interface StartBody {
  fresh: boolean;
  only_failed: boolean;
}
