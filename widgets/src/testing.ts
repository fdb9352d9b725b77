// Messages for the tests: whole ones, with what a test cares about put in.

import type { HistorySample, LogEntry, Progress, Task, UnitProgress } from "./messages";

export function unit(id: string, parts: Partial<UnitProgress> = {}): UnitProgress {
  return {
    unit_id: id,
    table: id,
    target_table: id,
    state: "running",
    progress: 50,
    rows_total: 1000,
    rows_total_is_estimate: false,
    rows_committed: 500,
    bytes_committed: 5000,
    speed: 100,
    eta_seconds: 5,
    chunks_total: 10,
    chunks_committed: 5,
    attempt: 1,
    started_at: "2026-01-01T12:00:00Z",
    finished_at: null,
    error: null,
    hint: null,
    ...parts,
  };
}

export function progress(taskId: string, parts: Partial<Progress> = {}): Progress {
  return {
    task_id: taskId,
    run_id: "r1",
    name: taskId,
    state: "running",
    overall_progress: 50,
    total_tables: 1,
    completed_tables: 0,
    failed_tables: 0,
    current_table: null,
    current_table_progress: null,
    rows_total: 1000,
    rows_total_is_estimate: false,
    rows_committed: 500,
    bytes_committed: 5000,
    speed: 100,
    speed_bytes: 1000,
    eta_seconds: 5,
    eta_low_seconds: 4,
    eta_high_seconds: 8,
    elapsed_seconds: 5,
    stalled_seconds: 0,
    waiting_for: null,
    consistency: null,
    limited_by: null,
    started_at: "2026-01-01T12:00:00Z",
    finished_at: null,
    updated_at: "2026-01-01T12:00:05Z",
    error: null,
    hint: null,
    units: [],
    units_partial: false,
    kind: "copy",
    ...parts,
  };
}

export function task(taskId: string, parts: Partial<Progress> = {}): Task {
  const spec = { source: "a", target: "b", mode: "replace", direct: false, tables: ["t"] };
  return {
    task_id: taskId,
    kind: "copy",
    name: taskId,
    origin: "store",
    spec,
    progress: progress(taskId, parts),
  };
}

export function entry(seq: number, parts: Partial<LogEntry> = {}): LogEntry {
  return {
    seq,
    task_id: "nightly",
    run_id: "r1",
    time: "2026-01-01T12:00:00Z",
    level: "info",
    unit: null,
    message: `entry ${seq}`,
    ...parts,
  };
}

/** Entries `first` to `last`, both included. */
export function entries(first: number, last: number): LogEntry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => entry(first + at));
}

/** A sample taken `seconds` after noon. */
export function sample(seconds: number, parts: Partial<HistorySample> = {}): HistorySample {
  return {
    task_id: "nightly",
    run_id: "r1",
    time: new Date(Date.UTC(2026, 0, 1, 12) + seconds * 1000).toISOString(),
    elapsed_seconds: seconds,
    rows_committed: seconds * 100,
    bytes_committed: seconds * 1000,
    overall_progress: null,
    speed: 100,
    speed_bytes: 1000,
    ...parts,
  };
}
