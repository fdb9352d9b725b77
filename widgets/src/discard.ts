// What a stop or a fresh start gives up, in sentences. Pure.

import { count, plural } from "./format";
import type { Progress, Task } from "./messages";

export interface Discard {
  /** What goes. */
  lost: string;
  /** What stays as it is. */
  kept: string;
}

export function discardedByStop(task: Task | undefined, progress: Progress): Discard {
  if (progress.kind === "loop") {
    return {
      lost: "The loop ends at its next step.",
      kept: "Its last progress, its log and its history stay.",
    };
  }
  const inPlace = progress.units.filter(({ state }) => state === "completed");
  const open = progress.units.filter(({ state }) => state !== "completed");
  const rows = open.reduce((sum, unit) => sum + unit.rows_committed, 0);
  const left = progress.total_tables - progress.completed_tables;
  const tables = plural(left, "table");
  if (task?.spec?.direct) {
    return {
      lost: `${tables} will not be finished. The rows of this run that were appended already (${count(rows)}) stay in the target, and the next start must be a fresh one.`,
      kept: keptTables(
        inPlace.map(({ target_table }) => target_table),
        progress,
      ),
    };
  }
  const copied = rows > 0 ? `${plural(rows, "row")} copied so far and ` : "";
  return {
    lost: `Discards ${copied}the checkpoints of ${tables}. ${left === 1 ? "That target table is as it was" : "Those target tables are as they were"} before this run.`,
    kept: keptTables(
      inPlace.map(({ target_table }) => target_table),
      progress,
    ),
  };
}

export function discardedByFresh(progress: Progress): Discard {
  const open = progress.units.filter(({ state }) => state !== "completed");
  const rows = open.reduce((sum, unit) => sum + unit.rows_committed, 0);
  return {
    lost: `Begins a new run from zero and discards ${plural(rows, "row")} copied so far, with their checkpoints.`,
    kept: "Resume would copy only what is missing.",
  };
}

function keptTables(names: string[], progress: Progress): string {
  const staying = "The log and the history stay.";
  if (progress.completed_tables === 0) return staying;
  const shown = names.slice(0, 5).join(", ");
  const more = progress.completed_tables - Math.min(names.length, 5);
  const rest = more > 0 ? ` and ${count(more)} more` : "";
  return `Already in place and staying: ${shown}${rest}. ${staying}`;
}
