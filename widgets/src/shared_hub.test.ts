import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FeedEvent, Interest } from "./hub";
import { GONE_MS, type Request } from "./shared_feed";
import { SharedHub } from "./shared_hub";
import { progress } from "./testing";

interface Call {
  url: string;
  init: RequestInit;
  send: (text: string) => Promise<void>;
}

function open() {
  const calls: Call[] = [];
  const fetcher = ((url: string, init: RequestInit) => {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start(started) {
        controller = started;
      },
    });
    const send = async (text: string) => {
      controller?.enqueue(new TextEncoder().encode(text));
      await vi.advanceTimersByTimeAsync(0);
    };
    calls.push({ url, init, send });
    return Promise.resolve(
      new Response(body, { headers: { "Content-Type": "text/event-stream" } }),
    );
  }) as typeof fetch;
  return { calls, hub: new SharedHub(fetcher) };
}

function page() {
  const heard: FeedEvent[] = [];
  return { heard, postMessage: (event: unknown) => heard.push(event as FeedEvent) };
}

const says = (interest: Interest | null): Request => ({
  interest,
  apiUrl: "/base/api/v1",
  xsrfToken: "t",
  retry: false,
});
const ALL: Interest = { tasks: "all", logs: null };
const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the hub of all pages", () => {
  test("reads one stream and tells every page", async () => {
    const { calls, hub } = open();
    const pages = [page(), page(), page()];
    for (const port of pages) hub.take(port, says(ALL));
    await settle();
    expect(calls.map(({ url }) => url)).toEqual(["/base/api/v1/stream"]);
    expect(calls[0]?.init.headers).toMatchObject({ "X-XSRFToken": "t" });
    await calls[0]?.send(`event: progress\ndata: ${JSON.stringify(progress("a"))}\n\n`);
    for (const { heard } of pages) {
      expect(heard.filter(({ type }) => type === "progress")).toHaveLength(1);
    }
  });

  test("closes the stream when the last page says that it goes", async () => {
    const { calls, hub } = open();
    const [first, second] = [page(), page()];
    hub.take(first, says(ALL));
    hub.take(second, says(ALL));
    await settle();
    hub.take(first, says(null));
    await settle();
    expect(calls[0]?.init.signal?.aborted).toBe(false);
    hub.take(second, says(null));
    await settle();
    expect(calls[0]?.init.signal?.aborted).toBe(true);
  });

  test("forgets a page that went without a word, and takes it back when it speaks", async () => {
    const { calls, hub } = open();
    const [silent, alive] = [page(), page()];
    hub.take(silent, says({ tasks: ["a"], logs: null }));
    hub.take(alive, says({ tasks: ["b"], logs: null }));
    await settle();
    await vi.advanceTimersByTimeAsync(GONE_MS - 1000);
    hub.take(alive, says({ tasks: ["b"], logs: null }));
    await vi.advanceTimersByTimeAsync(1000);
    hub.sweep();
    await settle();
    expect(calls.at(-1)?.url).toBe("/base/api/v1/stream?task=b");
    hub.take(silent, says({ tasks: ["a"], logs: null }));
    await settle();
    expect(calls.at(-1)?.url).toBe("/base/api/v1/stream?task=a&task=b");
  });
});
