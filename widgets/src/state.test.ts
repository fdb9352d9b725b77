import { describe, expect, test } from "vitest";
import { ALL_ENTRIES } from "./log";
import type { Task } from "./messages";
import { type Event, INITIAL, mergedProgress, reduce, type State } from "./state";
import { entries, progress, sample, task, unit } from "./testing";

const after = (...events: Event[]): State => events.reduce(reduce, INITIAL);
const select = (taskId: string): Event => ({ type: "selected", taskId, line: null });
const NIGHTLY = select("nightly");
const listed = (tasks: Task[]): Event => ({ type: "listed", tasks, configurationError: null });

describe("progress", () => {
  test("of every task is kept, the latest wins", () => {
    const state = after(
      { type: "progress", progress: progress("a", { rows_committed: 1 }) },
      { type: "progress", progress: progress("b") },
      { type: "progress", progress: progress("a", { rows_committed: 2 }) },
    );
    expect(state.progress.a?.rows_committed).toBe(2);
    expect(Object.keys(state.progress)).toEqual(["a", "b"]);
  });

  test("that was read and overtaken by the stream is dropped", () => {
    const state = after(
      { type: "progress", progress: progress("a", { updated_at: "2026-01-01T12:00:09Z" }) },
      {
        type: "progress_read",
        progress: progress("a", { updated_at: "2026-01-01T12:00:08Z", rows_committed: 1 }),
      },
    );
    expect(state.progress.a?.rows_committed).toBe(500);
  });

  test("of a new run replaces the old run's, whatever the clock says", () => {
    const state = after(
      { type: "progress", progress: progress("a", { updated_at: "2026-01-01T12:00:09Z" }) },
      { type: "progress_read", progress: progress("a", { run_id: "r2" }) },
    );
    expect(state.progress.a?.run_id).toBe("r2");
  });
});

describe("partial units", () => {
  const whole = progress("a", { units: [unit("x"), unit("y"), unit("z")] });

  test("change their rows and leave the others", () => {
    const news = progress("a", {
      units: [unit("y", { rows_committed: 900 })],
      units_partial: true,
      rows_committed: 900,
    });
    const merged = mergedProgress(whole, news);
    expect(merged.units.map(({ unit_id, rows_committed }) => [unit_id, rows_committed])).toEqual([
      ["x", 500],
      ["y", 900],
      ["z", 500],
    ]);
    expect(merged.units_partial).toBe(false);
    expect(merged.rows_committed).toBe(900);
  });

  test("that are new are added at the end", () => {
    const merged = mergedProgress(
      whole,
      progress("a", { units: [unit("w")], units_partial: true }),
    );
    expect(merged.units.map(({ unit_id }) => unit_id)).toEqual(["x", "y", "z", "w"]);
  });

  test("of another run do not mix with the old one's", () => {
    const news = progress("a", { run_id: "r2", units: [unit("y")], units_partial: true });
    expect(mergedProgress(whole, news).units).toHaveLength(1);
  });

  test("without a whole before them say that they are not all", () => {
    const news = progress("a", { units: [unit("y")], units_partial: true });
    expect(mergedProgress(undefined, news).units_partial).toBe(true);
  });
});

describe("the selected task", () => {
  test("begins with nothing of the one before", () => {
    const state = after(
      NIGHTLY,
      { type: "log", taskId: "nightly", entries: entries(1, 3) },
      { type: "progress", progress: progress("nightly") },
      select("archive"),
    );
    expect(state.log.entries).toEqual([]);
    expect(state.samples).toEqual([]);
    expect(state.progress.nightly).toBeDefined();
  });

  test("takes no late answer about another one", () => {
    const state = after(select("archive"));
    const late: Event[] = [
      { type: "log", taskId: "nightly", entries: entries(1, 3) },
      {
        type: "log_read",
        taskId: "nightly",
        place: "newest",
        query: ALL_ENTRIES,
        entries: entries(1, 3),
        limit: 200,
        after: 0,
      },
      { type: "history_read", taskId: "nightly", runId: "r1", samples: [sample(1)] },
      { type: "plan_failed", taskId: "nightly", error: { code: "c", message: "m", hint: "" } },
    ];
    for (const event of late) expect(reduce(state, event)).toBe(state);
  });

  test("takes no late answer to another question about the log", () => {
    const errors = { level: "error" as const, text: "", unit: null };
    const state = after(
      NIGHTLY,
      { type: "log_asked", place: "newest", query: ALL_ENTRIES },
      { type: "log_asked", place: "newest", query: errors },
    );
    const late: Event = {
      type: "log_read",
      taskId: "nightly",
      place: "newest",
      query: ALL_ENTRIES,
      entries: entries(1, 3),
      limit: 200,
      after: 0,
    };
    expect(reduce(state, late)).toBe(state);
    expect(state.log.loading).toBe("newest");
  });

  test("samples its progress, once a time", () => {
    const state = after(
      NIGHTLY,
      { type: "progress", progress: progress("nightly") },
      { type: "progress", progress: progress("nightly") },
      { type: "progress", progress: progress("nightly", { updated_at: "2026-01-01T12:00:07Z" }) },
      { type: "progress", progress: progress("archive") },
    );
    expect(state.samples.map(({ time }) => time)).toEqual([
      "2026-01-01T12:00:05Z",
      "2026-01-01T12:00:07Z",
    ]);
  });

  test("joins the history with the live samples", () => {
    const state = after(
      NIGHTLY,
      { type: "progress", progress: progress("nightly") },
      {
        type: "history_read",
        taskId: "nightly",
        runId: "r1",
        samples: [sample(1), sample(3)],
      },
    );
    expect(state.samples.map(({ time }) => Date.parse(time) % 60_000)).toEqual([1000, 3000, 5000]);
  });

  test("begins a new curve with a new run", () => {
    const state = after(
      NIGHTLY,
      { type: "progress", progress: progress("nightly") },
      { type: "progress", progress: progress("nightly", { run_id: "r2" }) },
      { type: "history_read", taskId: "nightly", runId: "r1", samples: [sample(1)] },
    );
    expect(state.samplesRun).toBe("r2");
    expect(state.samples.map(({ run_id }) => run_id)).toEqual(["r2"]);
  });
});

describe("the list", () => {
  test("brings tasks, and forgets the progress of those that are gone", () => {
    const state = after(listed([task("a"), task("b")]), listed([task("b")]));
    expect(state.tasks?.map(({ task_id }) => task_id)).toEqual(["b"]);
    expect(Object.keys(state.progress)).toEqual(["b"]);
  });

  test("does not overwrite what the stream said meanwhile", () => {
    const state = after(
      { type: "progress", progress: progress("a", { updated_at: "2026-01-01T12:09:00Z" }) },
      listed([task("a", { state: "paused" })]),
    );
    expect(state.progress.a?.state).toBe("running");
  });

  test("carries no units, and takes away none", () => {
    const units = [unit("x")];
    const state = after(
      { type: "progress", progress: progress("a", { units }) },
      listed([task("a", { units_partial: true, updated_at: "2026-01-01T12:00:09Z" })]),
    );
    expect(state.progress.a).toMatchObject({ units, units_partial: false });
  });

  test("that fails keeps the tasks that are known", () => {
    const error = { code: "unreachable", message: "m", hint: "" };
    const state = after(listed([task("a")]), { type: "list_failed", error });
    expect(state.tasks).toHaveLength(1);
    expect(state.listError).toBe(error);
  });
});

describe("a command", () => {
  const pressed: Event = { type: "pressed", taskId: "a", command: "pause" };

  test("is under way until it is answered", () => {
    const state = after({ type: "progress", progress: progress("a") }, pressed);
    expect(state.pressed).toEqual({ a: "pause" });
    const answer = progress("a", { state: "pausing" });
    const answered = reduce(state, {
      type: "answered",
      taskId: "a",
      command: "pause",
      progress: answer,
    });
    expect(answered.pressed).toEqual({});
    expect(answered.progress.a?.state).toBe("pausing");
  });

  test("that is refused says why until the next one", () => {
    const error = { code: "wrong_state", message: "it is paused", hint: "resume it" };
    const state = after(pressed, { type: "refused", taskId: "a", command: "pause", error });
    expect(state.pressed).toEqual({});
    expect(state.refusals).toEqual({ a: error });
    expect(reduce(state, pressed).refusals).toEqual({});
  });
});

test("reset forgets the log, keeps the filter and the progress", () => {
  const errors = { level: "error" as const, text: "", unit: null };
  const state = after(
    NIGHTLY,
    { type: "progress", progress: progress("nightly") },
    { type: "log_asked", place: "newest", query: errors },
    { type: "log", taskId: "nightly", entries: entries(1, 3) },
    { type: "reset" },
  );
  expect(state.log).toMatchObject({ entries: [], seen: null, query: errors });
  expect(state.progress.nightly).toBeDefined();
});

test("an event leaves the state before it as it was", () => {
  const state = after(NIGHTLY, { type: "log", taskId: "nightly", entries: entries(1, 3) });
  const before = structuredClone(state);
  reduce(state, { type: "log", taskId: "nightly", entries: entries(4, 5) });
  reduce(state, { type: "progress", progress: progress("nightly") });
  reduce(state, { type: "reset" });
  expect(state).toEqual(before);
});
