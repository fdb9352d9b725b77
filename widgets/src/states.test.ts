import { describe, expect, test } from "vitest";
import type { TaskState } from "./messages";
import { speedNow } from "./states";
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
