import { describe, expect, test } from "vitest";
import type { TaskState } from "./messages";
import { allowed, lookOf, speedNow, unitLookOf } from "./states";
import { progress } from "./testing";

describe("the speed of now", () => {
  test("is the run's while it moves", () => {
    expect(speedNow(progress("nightly"))).toBe(100);
    expect(speedNow(progress("nightly", { speed: null }))).toBeNull();
  });

  test("is none in a stall", () => {
    expect(speedNow(progress("nightly", { stalled_seconds: 1 }))).toBeNull();
  });

  test.each<TaskState>(["idle", "paused", "completed", "failed", "stopped"])(
    "is none where a run is %s",
    (state) => {
      expect(speedNow(progress("nightly", { state }))).toBeNull();
    },
  );
});

describe("what one glance tells", () => {
  test("is the state", () => {
    expect(lookOf(progress("nightly")).word).toBe("Running");
    const failed = progress("nightly", { state: "failed", stalled_seconds: 9 });
    expect(lookOf(failed).word).toBe("Failed");
  });

  test("is a stall where there is one", () => {
    expect(lookOf(progress("nightly", { stalled_seconds: 9 }))).toMatchObject({
      icon: "!",
      word: "Stalled",
    });
  });
});

describe("what a person may do", () => {
  test.each<TaskState>(["completed", "failed", "stopped"])(
    "is nothing with a loop that is %s",
    (state) => {
      expect(allowed(progress("training", { kind: "loop", state }))).toEqual([]);
    },
  );

  test("is to hold or end a loop, and to let it go on", () => {
    const loop = (state: TaskState) => allowed(progress("training", { kind: "loop", state }));
    expect(loop("running")).toEqual(["pause", "stop"]);
    expect(loop("paused")).toEqual(["start", "stop"]);
  });

  test("is to resume a copy that failed, or to give it up", () => {
    expect(allowed(progress("nightly", { state: "failed" }))).toEqual(["start", "stop"]);
  });
});

describe("a table that has not begun", () => {
  test("waits while the run goes on", () => {
    expect(unitLookOf("pending", progress("nightly", { state: "paused" })).word).toBe("Waiting");
  });

  test("does not wait when the run has ended", () => {
    const run = progress("nightly", { state: "stopped" });
    expect(unitLookOf("pending", run)).toMatchObject({ icon: "○", word: "Not begun" });
    expect(unitLookOf("failed", run).word).toBe("Failed");
  });
});
