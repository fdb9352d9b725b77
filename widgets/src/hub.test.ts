import { describe, expect, test } from "vitest";
import { type FeedEvent, Hub, type Interest, streamQuery } from "./hub";
import type { LiveStream, StreamListener } from "./stream";
import { entry, progress } from "./testing";

class FakeStream implements LiveStream {
  calls: string[] = [];

  constructor(
    readonly query: string,
    readonly listener: StreamListener,
  ) {}

  open() {
    this.calls.push("open");
  }

  close() {
    this.calls.push("close");
  }

  retryNow() {
    this.calls.push("retryNow");
  }

  send(event: string, data: unknown) {
    this.listener.onEvent({ event, data: JSON.stringify(data) });
  }
}

function hub() {
  const streams: FakeStream[] = [];
  const made = new Hub((query, listener) => {
    const stream = new FakeStream(query, listener);
    streams.push(stream);
    return stream;
  });
  return { hub: made, streams };
}

const turn = () => Promise.resolve();
const of = (tasks: Interest["tasks"], logs: string | null = null): Interest => ({ tasks, logs });

function ear() {
  const heard: FeedEvent[] = [];
  return { heard, listener: (event: FeedEvent) => heard.push(event) };
}

describe("the query of the one stream", () => {
  test.each<[string, Interest[]]>([
    ["", [of("all")]],
    ["logs=a", [of("all", "a")]],
    ["logs=a", [of("all", "a"), of(["b"])]],
    ["task=a&task=b", [of(["b"]), of(["a", "b"])]],
    ["task=a&task=b&logs=a", [of(["a"], "a"), of(["b"])]],
    ["task=a&task=b", [of(["a"], "a"), of(["b"], "b")]],
    ["task=a+b%26c", [of(["a b&c"])]],
  ])("%j", (query, interests) => {
    expect(streamQuery(interests).toString()).toBe(query);
  });
});

describe("the hub", () => {
  test("opens one stream for all monitors", async () => {
    const { hub: made, streams } = hub();
    for (let at = 0; at < 10; at += 1) made.subscribe(of(["a"], "a"), () => {});
    await turn();
    expect(streams.map(({ query, calls }) => [query, calls])).toEqual([
      ["task=a&logs=a", ["open"]],
    ]);
  });

  test("hands out to each what it wants", async () => {
    const { hub: made, streams } = hub();
    const list = ear();
    const panel = ear();
    made.subscribe(of("all"), list.listener);
    made.subscribe(of(["a"], "a"), panel.listener);
    await turn();
    const [stream] = streams;
    stream?.send("progress", progress("a"));
    stream?.send("progress", progress("b"));
    stream?.send("log", [entry(1, { task_id: "a" }), entry(1, { task_id: "b" })]);
    stream?.send("tasks", {});
    stream?.send("unheard-of", {});
    expect(list.heard.map(({ type }) => type)).toEqual(["progress", "progress", "tasks"]);
    expect(panel.heard).toEqual([
      { type: "progress", progress: progress("a") },
      { type: "log", taskId: "a", entries: [entry(1, { task_id: "a" })] },
      { type: "tasks" },
    ]);
  });

  test("takes the event `end` for the last progress", async () => {
    const { hub: made, streams } = hub();
    const { heard, listener } = ear();
    made.subscribe(of(["a"]), listener);
    await turn();
    streams[0]?.send("end", progress("a", { state: "completed" }));
    expect(heard).toEqual([{ type: "progress", progress: progress("a", { state: "completed" }) }]);
  });

  test("reconnects once for several changes, and not for one that changes nothing", async () => {
    const { hub: made, streams } = hub();
    const first = made.subscribe(of("all", "a"), () => {});
    const second = made.subscribe(of(["a"]), () => {});
    await turn();
    first.update(of("all", "b"));
    first.update(of("all", "c"));
    second.close();
    await turn();
    expect(streams.map(({ query }) => query)).toEqual(["logs=a", "logs=c"]);
    expect(streams[0]?.calls).toEqual(["open", "close"]);
    made.subscribe(of(["d"]), () => {});
    await turn();
    expect(streams).toHaveLength(2);
  });

  test("tells who comes later how the connection is", async () => {
    const { hub: made, streams } = hub();
    made.subscribe(of("all"), () => {});
    await turn();
    const connection = { state: "live" as const, lastNews: 5, error: null };
    streams[0]?.listener.onConnection(connection);
    const { heard, listener } = ear();
    made.subscribe(of("all"), listener);
    expect(heard).toEqual([{ type: "connection", connection }]);
  });

  test("asks again for a stream that was refused when somebody comes", async () => {
    const { hub: made, streams } = hub();
    made.subscribe(of("all"), () => {});
    await turn();
    const error = { code: "forbidden", message: "m", hint: "" };
    streams[0]?.listener.onConnection({ state: "ended", lastNews: null, error });
    await turn();
    expect(streams).toHaveLength(1);
    made.subscribe(of("all"), () => {});
    await turn();
    expect(streams).toHaveLength(2);
  });

  test("lets go of the stream with the last monitor", async () => {
    const { hub: made, streams } = hub();
    const subscription = made.subscribe(of("all"), () => {});
    await turn();
    subscription.close();
    await turn();
    expect(streams[0]?.calls).toEqual(["open", "close"]);
  });

  test("sleeps with its page and goes on with the same stream", async () => {
    const { hub: made, streams } = hub();
    made.subscribe(of("all"), () => {});
    await turn();
    made.sleep();
    made.wake();
    await turn();
    expect(streams).toHaveLength(1);
    expect(streams[0]?.calls).toEqual(["open", "close", "open"]);
  });
});
