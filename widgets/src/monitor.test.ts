import { describe, expect, test, vi } from "vitest";
import { Api } from "./api";
import type { Feed, FeedListener, Interest } from "./hub";
import type { LogEntry, Progress, TaskState } from "./messages";
import { Monitor } from "./monitor";
import { isRemoved } from "./state";
import type { Command } from "./states";
import type { Connection } from "./stream";
import { entries, entry, progress, task } from "./testing";

/** A server at the network's edge: what it was asked, and what it answers. */
class Server {
  readonly asked: string[] = [];
  readonly keys: string[] = [];
  progress: Progress = progress("nightly");
  logs: LogEntry[] = [];
  down = false;
  removed = false;
  /** Answers wait for it. */
  held: Promise<void> | null = null;

  readonly fetch = (async (input: string, init: RequestInit) => {
    const { pathname, searchParams } = new URL(input, "http://server");
    const call = pathname.replace("/api/v1/", "");
    this.asked.push(`${init.method} ${call}`);
    const key = (init.headers as Record<string, string>)["Idempotency-Key"];
    if (key) this.keys.push(key);
    if (this.down) throw new TypeError("down");
    await this.held;
    if (call === "tasks/archive") return Response.json(task("archive"));
    if (call === "tasks") return Response.json({ tasks: this.tasks, configuration_error: null });
    if (call.endsWith("/logs")) return Response.json({ logs: this.page(searchParams) });
    if (call.endsWith("/history")) return Response.json({ samples: [] });
    if (call.endsWith("/runs")) return Response.json({ runs: [] });
    if (this.removed && call.startsWith("tasks/nightly")) {
      const error = { code: "task_not_found", message: "there is no task 'nightly'", hint: "" };
      return Response.json({ error }, { status: 404 });
    }
    if (call === "tasks/nightly") return Response.json(this.task);
    return Response.json(this.progress);
  }) as typeof fetch;

  get tasks() {
    return this.removed ? [task("archive")] : [this.task, task("archive")];
  }

  get task() {
    return { ...task("nightly"), progress: this.progress };
  }

  page(params: URLSearchParams): LogEntry[] {
    const after = Number(params.get("after") ?? 0);
    const before = Number(params.get("before") ?? Number.POSITIVE_INFINITY);
    const limit = Number(params.get("limit"));
    const level = params.get("level");
    const found = this.logs.filter(
      (line) => line.seq > after && line.seq < before && (!level || line.level === level),
    );
    return params.has("after") ? found.slice(0, limit) : found.slice(-limit);
  }

  count(call: string): number {
    return this.asked.filter((asked) => asked === call).length;
  }
}

class FakeFeed implements Feed {
  interest: Interest = { tasks: [], logs: null };
  listener: FeedListener = () => {};
  closed = false;

  subscribe(interest: Interest, listener: FeedListener) {
    this.interest = interest;
    this.listener = listener;
    return {
      update: (changed: Interest) => {
        this.interest = changed;
      },
      close: () => {
        this.closed = true;
      },
    };
  }
}

function open(scope: readonly string[] | "all" = "all", server = new Server()) {
  const feed = new FakeFeed();
  const api = new Api({ baseUrl: "/", xsrfToken: () => null, fetch: server.fetch });
  return { server, feed, monitor: new Monitor({ api, feed, scope }) };
}

const quiet = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("a task that does not run", () => {
  test("is read once and has no stream of its own", async () => {
    const server = new Server();
    server.progress = progress("nightly", { state: "completed" });
    server.logs = entries(1, 3);
    const { feed, monitor } = open("all", server);
    monitor.select("nightly");
    await quiet();
    expect(server.count("GET tasks/nightly/progress")).toBe(1);
    expect(server.count("GET tasks/nightly/logs")).toBe(1);
    expect(server.count("GET tasks/nightly/history")).toBe(1);
    expect(feed.interest).toEqual({ tasks: "all", logs: null });
    expect(monitor.state.log.entries).toHaveLength(3);
  });
});

describe("a task that runs", () => {
  test("streams its log while it is active, and no longer", async () => {
    const { server, feed, monitor } = open();
    server.logs = entries(1, 3);
    monitor.select("nightly");
    await quiet();
    expect(feed.interest.logs).toBe("nightly");
    feed.listener({ type: "log", taskId: "nightly", entries: entries(2, 4) });
    server.logs = entries(1, 6);
    server.progress = progress("nightly", {
      state: "completed",
      updated_at: "2026-01-01T12:01:00Z",
    });
    feed.listener({ type: "progress", progress: server.progress });
    expect(feed.interest.logs).toBeNull();
    await quiet();
    // What was written between the last push and the end was read, and the final state stays.
    expect(monitor.state.log.entries.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(monitor.state.progress.nightly?.state).toBe("completed");
  });

  test("is read to its end, however much was written at last", async () => {
    const { server, feed, monitor } = open();
    server.logs = entries(1, 3);
    monitor.select("nightly");
    await quiet();
    server.logs = entries(1, 750);
    server.progress = progress("nightly", { state: "failed", updated_at: "2026-01-01T12:01:00Z" });
    feed.listener({ type: "progress", progress: server.progress });
    await vi.waitFor(() => expect(monitor.state.log.entries).toHaveLength(750));
  });

  test("stops being heard when another one is shown", async () => {
    const { feed, monitor } = open();
    monitor.select("nightly");
    await quiet();
    monitor.select("archive");
    expect(monitor.state.log.entries).toEqual([]);
    expect(feed.interest.logs).toBe("archive");
    monitor.select(null);
    expect(feed.interest.logs).toBeNull();
  });

  test("keeps following the end of a filtered log", async () => {
    const { server, feed, monitor } = open();
    server.logs = [...entries(1, 3), entry(4, { level: "error" })];
    monitor.select("nightly");
    await quiet();
    monitor.query({ level: "error" });
    await quiet();
    expect(monitor.state.log.entries.map(({ seq }) => seq)).toEqual([4]);
    feed.listener({
      type: "log",
      taskId: "nightly",
      entries: [entry(5), entry(6, { level: "error" })],
    });
    expect(monitor.state.log.entries.map(({ seq }) => seq)).toEqual([4, 6]);
  });
});

describe("the log", () => {
  test("loads older pages down to the first entry", async () => {
    const { server, monitor } = open();
    server.logs = entries(1, 450);
    monitor.select("nightly");
    await quiet();
    for (let page = 0; page < 5; page += 1) {
      monitor.loadOlder();
      await quiet();
    }
    expect(monitor.state.log.entries).toHaveLength(450);
    expect(monitor.state.log.atStart).toBe(true);
    expect(server.count("GET tasks/nightly/logs")).toBe(3);
  });

  test("shows a line that is linked to, and finds back to the end", async () => {
    const { server, monitor } = open();
    server.logs = entries(1, 1000);
    monitor.select("nightly", 500);
    await quiet();
    const { log, line } = monitor.state;
    expect(line).toBe(500);
    expect(log.entries.some(({ seq }) => seq === 500)).toBe(true);
    expect(log.following).toBe(false);
    monitor.follow(true);
    await quiet();
    expect(monitor.state.log.entries.at(-1)?.seq).toBe(1000);
    expect(monitor.state.log).toMatchObject({ following: true, atEnd: true });
  });

  test("begins at its first entry when asked to, whatever else is under way", async () => {
    const { server, monitor } = open();
    server.logs = entries(1, 1000);
    monitor.select("nightly");
    await quiet();
    monitor.loadOlder();
    monitor.showStart();
    await quiet();
    const { log } = monitor.state;
    expect(log.entries.map(({ seq }) => seq)).toEqual(server.logs.slice(0, 200).map((e) => e.seq));
    expect(log).toMatchObject({ atStart: true, atEnd: false, following: false });
  });

  test("is read afresh after a reset", async () => {
    const { server, feed, monitor } = open();
    server.logs = entries(1, 3);
    monitor.select("nightly");
    await quiet();
    server.logs = entries(1, 2);
    feed.listener({ type: "reset" });
    await quiet();
    expect(monitor.state.log.entries.map(({ seq }) => seq)).toEqual([1, 2]);
  });
});

describe("a command", () => {
  test("shows at once, and what came of it when it is answered", async () => {
    const { server, monitor } = open();
    server.progress = progress("nightly", { state: "pausing" });
    const answered = monitor.command("nightly", "pause");
    expect(monitor.state.pressed).toEqual({ nightly: "pause" });
    await answered;
    expect(monitor.state.pressed).toEqual({});
    expect(monitor.state.progress.nightly?.state).toBe("pausing");
  });

  test("to start that got no answer is the same start when pressed again", async () => {
    const { server, monitor } = open();
    server.progress = progress("nightly", { state: "completed" });
    server.down = true;
    await monitor.command("nightly", "start");
    expect(monitor.state.refusals.nightly?.code).toBe("unreachable");
    server.down = false;
    await monitor.command("nightly", "start");
    await monitor.command("nightly", "start");
    const [lost, again, next] = server.keys;
    expect(again).toBe(lost);
    expect(next).not.toBe(lost);
  });
});

describe("a button that is pressed twice", () => {
  test.each<[Command, TaskState, TaskState]>([
    ["start", "completed", "running"],
    ["pause", "running", "pausing"],
    ["stop", "running", "stopping"],
  ])("does %s once", async (command, before, after) => {
    const { server, monitor } = open();
    server.progress = progress("nightly", { state: before });
    monitor.select("nightly");
    await quiet();
    server.progress = progress("nightly", { state: after });
    const first = monitor.command("nightly", command);
    await monitor.command("nightly", command);
    await first;
    await monitor.command("nightly", command); // also where the answer is there already
    expect(server.count(`POST tasks/nightly/${command}`)).toBe(1);
    expect(monitor.state).toMatchObject({ refusals: {}, pressed: {} });
  });

  test("lets a stop overtake a pause, and waits for its answer", async () => {
    const { server, monitor } = open();
    monitor.select("nightly");
    await quiet();
    const paused = monitor.command("nightly", "pause");
    let answer = () => {};
    server.held = new Promise((resolve) => {
      answer = resolve;
    });
    const stopped = monitor.command("nightly", "stop");
    await paused;
    expect(monitor.state.pressed).toEqual({ nightly: "stop" });
    answer();
    await stopped;
    expect(server.count("POST tasks/nightly/stop")).toBe(1);
    expect(monitor.state.pressed).toEqual({});
  });
});

describe("the list", () => {
  test("is read again when tasks come and go, once for many events", async () => {
    vi.useFakeTimers();
    const { server, feed } = open();
    for (let at = 0; at < 5; at += 1) feed.listener({ type: "tasks" });
    await vi.advanceTimersByTimeAsync(1000);
    vi.useRealTimers();
    expect(server.count("GET tasks")).toBe(2);
  });

  test("is read again when the stream begins: what came in between is told by neither", async () => {
    vi.useFakeTimers();
    const { server, feed, monitor } = open();
    await vi.advanceTimersByTimeAsync(0);
    expect(server.count("GET tasks")).toBe(1);
    const connection = { lastNews: null, error: null };
    feed.listener({ type: "connection", connection: { ...connection, state: "connecting" } });
    feed.listener({ type: "connection", connection: { ...connection, state: "live" } });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(server.count("GET tasks")).toBe(2);
    monitor.close();
    vi.useRealTimers();
  });

  test("without the task that is shown ends its stream and keeps its last state", async () => {
    const { server, feed, monitor } = open();
    monitor.select("nightly");
    await quiet();
    expect(feed.interest.logs).toBe("nightly");
    server.removed = true;
    const error = { code: "task_not_found", message: "m", hint: "" };
    feed.listener({ type: "connection", connection: { state: "ended", lastNews: null, error } });
    await vi.waitFor(() => expect(feed.interest.logs).toBeNull());
    expect(monitor.state.selectError?.message).toBe("Task nightly was removed.");
    expect(monitor.state.progress.nightly?.state).toBe("running");
  });

  test("of a monitor of one task is that task", async () => {
    const { server, monitor } = open(["nightly"]);
    await quiet();
    expect(server.asked).toEqual(["GET tasks/nightly"]);
    expect(monitor.state.tasks?.map(({ task_id }) => task_id)).toEqual(["nightly"]);
  });
});

describe("a task that goes", () => {
  test("is known to be removed by a monitor of some tasks too, which keeps the others", async () => {
    const { server, feed, monitor } = open(["nightly", "archive"]);
    monitor.select("nightly");
    await quiet();
    server.removed = true;
    feed.listener({ type: "tasks" });
    await vi.waitFor(() => expect(isRemoved(monitor.state, "nightly")).toBe(true));
    expect(isRemoved(monitor.state, "archive")).toBe(false);
    expect(monitor.state.selectError?.message).toBe("Task nightly was removed.");
    expect(monitor.state.listError).toBeNull();
  });

  test("is looked for when the kernel that feeds does not find it", async () => {
    const { server, feed, monitor } = open(["nightly"]);
    monitor.select("nightly");
    await quiet();
    server.removed = true;
    const error = { code: "unreachable", message: "there is no task 'nightly'", hint: "" };
    const connection: Connection = { state: "reconnecting", lastNews: 1, error };
    const asked = server.count("GET tasks/nightly");
    for (let at = 0; at < 3; at += 1) feed.listener({ type: "connection", connection });
    await vi.waitFor(() => expect(isRemoved(monitor.state, "nightly")).toBe(true));
    expect(server.count("GET tasks/nightly")).toBe(asked + 1);
  });

  test("and comes again is read anew", async () => {
    const { server, feed, monitor } = open();
    server.logs = entries(1, 9);
    monitor.select("nightly");
    await quiet();
    server.removed = true;
    feed.listener({ type: "tasks" });
    await vi.waitFor(() => expect(isRemoved(monitor.state, "nightly")).toBe(true));
    server.removed = false;
    server.logs = entries(1, 2);
    feed.listener({ type: "tasks" });
    await vi.waitFor(() => expect(monitor.state.log.entries).toHaveLength(2));
    expect(isRemoved(monitor.state, "nightly")).toBe(false);
    expect(monitor.state.selectError).toBeNull();
  });
});

test("a monitor that is closed hears nothing", () => {
  const { feed, monitor } = open();
  monitor.close();
  expect(feed.closed).toBe(true);
});
