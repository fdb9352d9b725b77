import { describe, expect, test } from "vitest";
import { discardedByStop } from "./discard";
import { progress, task, unit } from "./testing";

describe("what a stop gives up", () => {
  const copied = unit("planes", { state: "completed" });

  test("is one table or several", () => {
    const one = progress("nightly", {
      total_tables: 2,
      completed_tables: 1,
      units: [copied, unit("flights", { rows_committed: 1 })],
    });
    expect(discardedByStop(task("nightly"), one)).toEqual({
      lost: "Discards 1 row copied so far and the checkpoints of 1 table. That target table is as it was before this run.",
      kept: "Already in place and staying: planes. The log and the history stay.",
    });
    const several = { ...one, total_tables: 3 };
    expect(discardedByStop(task("nightly"), several).lost).toBe(
      "Discards 1 row copied so far and the checkpoints of 2 tables. Those target tables are as they were before this run.",
    );
  });
});
