import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Api } from "./api";
import { sharesServer } from "./feeding";
import type { FeedEvent } from "./hub";
import {
  ANSWER_MS,
  BUSY_MS,
  type Channel,
  KernelLink,
  type PageMessage,
  SILENCE_MS,
} from "./kernel_link";
import { entries, progress } from "./testing";

class FakeKernel implements Channel {
  readonly heard: PageMessage[] = [];
  readonly #listeners = new Set<(message: unknown) => void>();

  get listeners(): number {
    return this.#listeners.size;
  }
  send(message: unknown): void {
    this.heard.push(message as PageMessage);
  }
  on(_: "msg:custom", listener: (message: unknown) => void): void {
    this.#listeners.add(listener);
  }
  off(_: "msg:custom", listener: (message: unknown) => void): void {
    this.#listeners.delete(listener);
  }
  say(message: unknown): void {
    for (const listener of this.#listeners) listener(message);
  }
  news(parts: object = {}): void {
    this.say({ type: "news", progress: [], logs: [], tasks: false, error: null, ...parts });
  }
}

describe("a link to the kernel", () => {
  let kernel: FakeKernel;
  let link: KernelLink;
  let api: Api;

  beforeEach(() => {
    vi.useFakeTimers();
    kernel = new FakeKernel();
    link = new KernelLink(kernel, "kernel/api/v1");
    api = new Api({ baseUrl: "kernel", xsrfToken: () => null, fetch: link.fetch });
  });
  afterEach(() => vi.useRealTimers());

  function heardBy(tasks: string[] | "all", logs: string | null = null) {
    const events: FeedEvent[] = [];
    link.subscribe({ tasks, logs }, (event) => events.push(event));
    return events;
  }

  it("asks the kernel for everything when it begins", () => {
    expect(kernel.heard).toEqual([{ type: "hello" }]);
  });

  it("carries a request with its key, and the answer to it alone", async () => {
    const first = api.start("a b", { fresh: true, only_failed: false }, "key-1");
    const second = api.progress("other");
    const [, asked, also] = kernel.heard as (PageMessage & { type: "request" })[];
    expect(asked).toMatchObject({
      method: "POST",
      path: "tasks/a%20b/start",
      key: "key-1",
      body: { fresh: true, only_failed: false },
    });
    kernel.say({ type: "answer", id: "of another page", status: 200, body: "{}" });
    kernel.say({ type: "answer", id: also?.id, status: 200, body: '{"task_id":"other"}' });
    kernel.say({ type: "answer", id: asked?.id, status: 202, body: '{"task_id":"a b"}' });
    expect((await first).task_id).toBe("a b");
    expect((await second).task_id).toBe("other");
  });

  it("gives a refusal its own words", async () => {
    const asked = api.pause("a");
    const { id } = kernel.heard[1] as PageMessage & { type: "request" };
    const error = { code: "wrong_state", message: "a is idle", hint: "start it" };
    kernel.say({ type: "answer", id, status: 409, body: JSON.stringify({ error }) });
    await expect(asked).rejects.toMatchObject({ status: 409, body: error });
  });

  it("says when a command waits for a kernel that is busy, and never gives it up", async () => {
    const busy: boolean[] = [];
    link.watchBusy((now) => busy.push(now));
    const read = api.progress("a").catch((error: Error) => error);
    const paused = api.pause("a");
    vi.advanceTimersByTime(BUSY_MS - 1);
    expect(busy).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(busy).toEqual([true]);
    vi.advanceTimersByTime(ANSWER_MS * 10);
    expect(await read).toBeInstanceOf(Error);
    const { id } = kernel.heard[2] as PageMessage & { type: "request" };
    kernel.say({ type: "answer", id, status: 202, body: '{"task_id":"a"}' });
    expect((await paused).task_id).toBe("a");
    expect(busy).toEqual([true, false]);
  });

  it("hands out only what is wanted", () => {
    const one = heardBy(["a"], "nightly");
    const all = heardBy("all");
    kernel.news({ progress: [progress("a"), progress("b")], logs: entries(1, 3), tasks: true });
    expect(one.map(({ type }) => type)).toEqual([
      "connection",
      "connection",
      "progress",
      "log",
      "tasks",
    ]);
    expect(all.map(({ type }) => type)).toEqual([
      "connection",
      "connection",
      "progress",
      "progress",
      "tasks",
    ]);
  });

  it("says that news are stale when the kernel is silent, and asks again", () => {
    const events = heardBy("all");
    kernel.news();
    vi.advanceTimersByTime(SILENCE_MS - 1);
    expect(events.at(-1)).toMatchObject({ connection: { state: "live" } });
    vi.advanceTimersByTime(1);
    expect(events.at(-1)).toMatchObject({ connection: { state: "reconnecting" } });
    expect(kernel.heard).toEqual([{ type: "hello" }, { type: "hello" }]);
    kernel.news();
    expect(events.at(-1)).toMatchObject({ connection: { state: "live", error: null } });
  });

  it("says why the kernel knows nothing new", () => {
    const events = heardBy("all");
    kernel.news({ error: "the server does not answer" });
    expect(events.at(-1)).toMatchObject({
      connection: { state: "reconnecting", error: { message: "the server does not answer" } },
    });
  });

  it("leaves nothing behind when it is closed", () => {
    const events = heardBy("all");
    void api.progress("a").catch(() => {});
    link.close();
    kernel.news();
    expect(events).toHaveLength(1);
    expect(kernel.listeners).toBe(0);
    expect(kernel.heard.at(-1)).toEqual({ type: "bye" });
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("whether the page's server is the kernel's", () => {
  const page = (config: object | null) =>
    ({
      getElementById: () => (config === null ? null : { textContent: JSON.stringify(config) }),
    }) as unknown as Document;
  const origin = "https://hub.example";

  it.each([
    ["the same path", { baseUrl: "/user/a/" }, { baseUrl: "/user/a/", origin: null }, true],
    [
      "a path that is quoted",
      { baseUrl: "/u/d@ta/" },
      { baseUrl: "/u/d%40ta", origin: null },
      true,
    ],
    ["another path", { baseUrl: "/user/b/" }, { baseUrl: "/user/a/", origin: null }, false],
    ["another origin", { baseUrl: "/" }, { baseUrl: "/", origin: "http://other:8888" }, false],
    ["the same origin", { baseUrl: "/" }, { baseUrl: "/", origin }, true],
    ["no server", { baseUrl: "/" }, { baseUrl: null, origin: null }, false],
    ["no page of Jupyter's", null, { baseUrl: "/", origin: null }, false],
  ])("%s", (_, config, server, expected) => {
    expect(sharesServer(page(config), origin, server)).toBe(expected);
  });
});
