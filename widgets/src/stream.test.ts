import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { SseEvent } from "./sse";
import { backoff, type Connection, Stream } from "./stream";

interface Call {
  headers: Record<string, string>;
  signal: AbortSignal;
  answer: (response: Response) => void;
  fail: () => void;
}

/** The network's edge: each request waits until the test answers it. */
class Network {
  readonly calls: Call[] = [];

  readonly fetch = ((_url: string, init: RequestInit) =>
    new Promise<Response>((resolve, reject) => {
      const signal = init.signal as AbortSignal;
      signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      this.calls.push({
        headers: init.headers as Record<string, string>,
        signal,
        answer: resolve,
        fail: () => reject(new TypeError("network error")),
      });
    })) as typeof fetch;

  get last(): Call {
    const call = this.calls.at(-1);
    if (!call) throw new Error("nothing was requested");
    return call;
  }

  /** Answer the last request with a stream that the test writes to. */
  openBody() {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const { signal, answer } = this.last;
    const body = new ReadableStream<Uint8Array>({
      start(started) {
        controller = started;
      },
    });
    signal.addEventListener("abort", () => controller?.error(new DOMException("", "AbortError")));
    answer(new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } }));
    const encoder = new TextEncoder();
    return {
      send: async (text: string | Uint8Array) => {
        controller?.enqueue(typeof text === "string" ? encoder.encode(text) : text);
        await settle();
      },
      end: async () => {
        controller?.close();
        await settle();
      },
    };
  }
}

const settle = () => vi.advanceTimersByTimeAsync(0);

function open() {
  const network = new Network();
  const events: SseEvent[] = [];
  const connections: Connection[] = [];
  const stream = new Stream(
    {
      url: "/api/v1/stream",
      headers: () => ({ "X-XSRFToken": "token" }),
      fetch: network.fetch,
      random: () => 1,
    },
    {
      onEvent: (event) => events.push(event),
      onConnection: (connection) => connections.push(connection),
    },
  );
  stream.open();
  return { network, events, connections, stream, states: () => connections.map((c) => c.state) };
}

beforeEach(() => {
  vi.useFakeTimers({ now: new Date("2026-01-01T12:00:00Z") });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a stream", () => {
  test("sends the XSRF token and hands events over as they become whole", async () => {
    const { network, events, states } = open();
    const body = network.openBody();
    await body.send("event: progress\nda");
    expect(events).toEqual([]);
    await body.send("ta: 1\n\n");
    expect(events).toEqual([{ event: "progress", data: "1" }]);
    expect(states()).toEqual(["connecting", "live"]);
    expect(network.last.headers["X-XSRFToken"]).toBe("token");
    expect(network.last.headers.Accept).toBe("text/event-stream");
    expect(network.last.headers["Last-Event-ID"]).toBeUndefined();
  });

  test("decodes characters that are split over chunks", async () => {
    const { network, events } = open();
    const body = network.openBody();
    const bytes = new TextEncoder().encode("data: 😀\n\n");
    for (const byte of bytes) await body.send(new Uint8Array([byte]));
    expect(events).toEqual([{ event: "message", data: "😀" }]);
  });

  test("resumes from the last event id after a break, as late as the server asked", async () => {
    const { network, states } = open();
    const body = network.openBody();
    await body.send("retry: 3000\n\nid: s1:nightly=7\nevent: log\ndata: []\n\nid: 8\ndata: cut");
    await body.end();
    expect(states().at(-1)).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(2999);
    expect(network.calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(network.calls).toHaveLength(2);
    expect(network.last.headers["Last-Event-ID"]).toBe("s1:nightly=7");
  });

  test("says when the last news came", async () => {
    const { network, connections } = open();
    const body = network.openBody();
    await body.send(": hello\n\n");
    const at = Date.now();
    await vi.advanceTimersByTimeAsync(10_000);
    await body.end();
    expect(connections.at(-1)).toEqual({ state: "reconnecting", lastNews: at, error: null });
  });

  test("waits longer after each failure, and afresh after an event", async () => {
    const { network } = open();
    for (const delay of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      const before = network.calls.length;
      network.last.fail();
      await vi.advanceTimersByTimeAsync(delay - 1);
      expect(network.calls).toHaveLength(before);
      await vi.advanceTimersByTimeAsync(1);
      expect(network.calls).toHaveLength(before + 1);
    }
    const body = network.openBody();
    await body.send("data: x\n\n");
    await body.end();
    const before = network.calls.length;
    await vi.advanceTimersByTimeAsync(1000);
    expect(network.calls).toHaveLength(before + 1);
  });

  test("takes 35 s of silence for a lost connection; a comment is no silence", async () => {
    const { network, states } = open();
    const body = network.openBody();
    await settle();
    await vi.advanceTimersByTimeAsync(34_000);
    await body.send(": beat\n\n");
    await vi.advanceTimersByTimeAsync(34_000);
    expect(states()).toEqual(["connecting", "live"]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(states()).toEqual(["connecting", "live", "reconnecting"]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(network.calls).toHaveLength(2);
  });

  test("gives up a request that is not answered", async () => {
    const { network, states } = open();
    await vi.advanceTimersByTimeAsync(36_000);
    expect(network.calls).toHaveLength(2);
    expect(network.calls[0]?.signal.aborted).toBe(true);
    expect(states()).toEqual(["connecting", "reconnecting"]);
  });

  test("ends on the event `end` and stays closed", async () => {
    const { network, events, states } = open();
    const body = network.openBody();
    await body.send("event: end\ndata: {}\n\nevent: log\ndata: []\n\n");
    await vi.advanceTimersByTimeAsync(120_000);
    expect(events.map(({ event }) => event)).toEqual(["end"]);
    expect(states()).toEqual(["connecting", "live", "ended"]);
    expect(network.calls).toHaveLength(1);
  });

  test("ends on 204, which says that there is nothing to come", async () => {
    const { network, connections } = open();
    network.last.answer(new Response(null, { status: 204 }));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(connections.at(-1)).toEqual({ state: "ended", lastNews: null, error: null });
    expect(network.calls).toHaveLength(1);
  });

  test("forgets its position on `reset`", async () => {
    const { network, events } = open();
    const body = network.openBody();
    await body.send("id: 5\ndata: x\n\nevent: reset\ndata: {}\n\n");
    await body.end();
    await vi.advanceTimersByTimeAsync(1000);
    expect(events.at(-1)?.event).toBe("reset");
    expect(network.last.headers["Last-Event-ID"]).toBeUndefined();
  });

  test("ends with the server's own words where asking again is useless", async () => {
    const { network, connections } = open();
    const error = { code: "task_not_found", message: "no task x", hint: "see GET tasks" };
    network.last.answer(Response.json({ error }, { status: 404 }));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(connections.at(-1)).toEqual({ state: "ended", lastNews: null, error });
    expect(network.calls).toHaveLength(1);
  });

  test("asks again after 503 and says what was answered", async () => {
    const { network, connections } = open();
    const error = { code: "store_unavailable", message: "the store is gone", hint: "doctor" };
    network.last.answer(Response.json({ error }, { status: 503 }));
    await settle();
    expect(connections.at(-1)).toEqual({ state: "reconnecting", lastNews: null, error });
    await vi.advanceTimersByTimeAsync(1000);
    expect(network.calls).toHaveLength(2);
  });

  test("does not take a login page for a stream", async () => {
    const { network, connections } = open();
    network.last.answer(new Response("<html>", { headers: { "Content-Type": "text/html" } }));
    await settle();
    expect(connections.at(-1)?.state).toBe("ended");
    expect(connections.at(-1)?.error?.code).toBe("not_a_stream");
  });

  test("closed, it says nothing more; opened again, it resumes", async () => {
    const { network, events, stream, states } = open();
    const body = network.openBody();
    await body.send("id: 9\ndata: x\n\n");
    stream.close();
    expect(network.last.signal.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(network.calls).toHaveLength(1);
    expect(states()).toEqual(["connecting", "live"]);
    stream.open();
    expect(network.calls).toHaveLength(2);
    expect(network.last.headers["Last-Event-ID"]).toBe("9");
    expect(events).toHaveLength(1);
  });

  test("closed while it waits, it does not connect", async () => {
    const { network, stream } = open();
    network.last.fail();
    await settle();
    stream.close();
    stream.retryNow();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(network.calls).toHaveLength(1);
  });

  test("does not wait when it is told that the network is back", async () => {
    const { network, stream } = open();
    network.last.fail();
    await settle();
    stream.retryNow();
    expect(network.calls).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(5000);
    expect(network.calls).toHaveLength(2);
  });
});

describe("backoff", () => {
  test("doubles up to 30 s, half of it by chance", () => {
    expect(backoff(0, 1000, 0)).toBe(500);
    expect(backoff(0, 1000, 1)).toBe(1000);
    expect(backoff(3, 1000, 1)).toBe(8000);
    expect(backoff(99, 1000, 1)).toBe(30_000);
    expect(backoff(99, 1000, 0)).toBe(15_000);
  });
});
