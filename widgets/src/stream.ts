// One event stream, kept open: back-off, resumption by Last-Event-ID, silence noticed. Knows no DOM.

import { errorBody, responseError } from "./api";
import type { ErrorBody } from "./messages";
import { type SseEvent, SseParser } from "./sse";

// The server sends a comment every 15 s: two missed ones and some slack mean that nobody is there.
const SILENCE_MS = 35_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
// Asking again does not change these answers; others of the 4xx (408, 425, 429) are worth a retry.
const FINAL_STATUS = new Set([400, 401, 403, 404, 405, 406, 409, 410, 422]);

export type ConnectionState = "connecting" | "live" | "reconnecting" | "ended";

export interface Connection {
  state: ConnectionState;
  /** When the last bytes came, in ms since the epoch; null before the first. */
  lastNews: number | null;
  /** Why the stream is not live, where there is something to say. */
  error: ErrorBody | null;
}

export interface StreamListener {
  onEvent(event: SseEvent): void;
  onConnection(connection: Connection): void;
}

/** What keeps a stream open; `EventSourceStream` is the other one. */
export interface LiveStream {
  open(): void;
  close(): void;
  retryNow(): void;
}

export interface StreamOptions {
  url: string;
  headers: () => Record<string, string>;
  fetch?: typeof fetch;
  random?: () => number;
}

/** Milliseconds before reconnect number `attempt` (from 0): doubling, capped, half of it jitter. */
export function backoff(attempt: number, firstMs: number, random: number): number {
  const whole = Math.min(LONGEST_RETRY_MS, firstMs * 2 ** Math.min(attempt, 16));
  return Math.round(whole * (0.5 + random / 2));
}

/** A stream read through `fetch`, which can send headers where EventSource cannot. */
export class Stream implements LiveStream {
  readonly #options: StreamOptions;
  readonly #fetch: typeof fetch;
  readonly #listener: StreamListener;
  #lastEventId = "";
  #firstRetryMs = FIRST_RETRY_MS;
  #attempt = 0;
  #lastNews: number | null = null;
  #abort: AbortController | null = null;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StreamOptions, listener: StreamListener) {
    this.#options = options;
    this.#fetch = options.fetch ?? ((...args) => fetch(...args));
    this.#listener = listener;
  }

  /** Connect, from the last event id if the stream was open before. */
  open(): void {
    if (this.#abort) return;
    this.#say(this.#lastNews === null ? "connecting" : "reconnecting");
    void this.#connect();
  }

  /** Let go of the connection; nothing is said afterwards. */
  close(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    clearTimeout(this.#silenceTimer);
    this.#abort?.abort();
    this.#abort = null;
  }

  /** Do not wait any longer: the network is back, or somebody looks at the page again. */
  retryNow(): void {
    if (this.#retryTimer === undefined) return;
    clearTimeout(this.#retryTimer);
    this.#attempt = 0;
    void this.#connect();
  }

  async #connect(): Promise<void> {
    this.#retryTimer = undefined;
    const abort = new AbortController();
    this.#abort = abort;
    this.#watchSilence(abort);
    try {
      const response = await this.#fetch(this.#options.url, {
        headers: this.#headers(),
        signal: abort.signal,
        credentials: "same-origin",
        cache: "no-store",
      });
      if (this.#abort !== abort) return;
      if (response.status === 204) return this.#end(null);
      if (!response.ok) {
        const error = await responseError(response);
        if (this.#abort !== abort) return;
        if (FINAL_STATUS.has(response.status)) return this.#end(error.body);
        return this.#retry(error.body);
      }
      const type = response.headers.get("Content-Type") ?? "";
      if (!type.startsWith("text/event-stream") || !response.body) {
        return this.#end({
          code: "not_a_stream",
          message: "The server answered with something that is not an event stream.",
          hint: "Sign in to Jupyter again, then reload this page.",
        });
      }
      if (await this.#read(response.body, abort)) return;
      this.#retry(null);
    } catch (thrown) {
      if (this.#abort !== abort) return;
      const lost = thrown instanceof TypeError || abort.signal.aborted;
      this.#retry(lost ? null : errorBody(thrown));
    }
  }

  /** Read until the stream breaks off; true when it was ended, or closed by us. */
  async #read(body: ReadableStream<Uint8Array>, abort: AbortController): Promise<boolean> {
    const parser = new SseParser(this.#lastEventId);
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    const reader = body.getReader();
    this.#news();
    this.#say("live");
    for (;;) {
      const { done, value } = await reader.read();
      if (this.#abort !== abort) return true;
      if (done) return false;
      this.#news();
      this.#watchSilence(abort);
      for (const event of parser.feed(decoder.decode(value, { stream: true }))) {
        this.#attempt = 0;
        const moved = parser.lastEventId !== this.#lastEventId;
        // After a reset the old position is void, unless the event itself brings another.
        this.#lastEventId = event.event === "reset" && !moved ? "" : parser.lastEventId;
        this.#listener.onEvent(event);
        if (this.#abort !== abort) return true;
        if (event.event === "end") {
          this.#end(null);
          return true;
        }
      }
      if (parser.retry !== null) this.#firstRetryMs = parser.retry;
    }
  }

  #headers(): Record<string, string> {
    const headers: Record<string, string> = {
      ...this.#options.headers(),
      Accept: "text/event-stream",
    };
    if (this.#lastEventId) headers["Last-Event-ID"] = this.#lastEventId;
    return headers;
  }

  #news(): void {
    this.#lastNews = Date.now();
  }

  #watchSilence(abort: AbortController): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => abort.abort(), SILENCE_MS);
  }

  #retry(error: ErrorBody | null): void {
    clearTimeout(this.#silenceTimer);
    this.#say("reconnecting", error);
    const random = (this.#options.random ?? Math.random)();
    const delay = backoff(this.#attempt, this.#firstRetryMs, random);
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => void this.#connect(), delay);
  }

  #end(error: ErrorBody | null): void {
    this.close();
    this.#say("ended", error);
  }

  #say(state: ConnectionState, error: ErrorBody | null = null): void {
    this.#listener.onConnection({ state, lastNews: this.#lastNews, error });
  }
}
