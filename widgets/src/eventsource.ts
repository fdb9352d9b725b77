// The fallback for browsers whose fetch cannot stream: EventSource, with the XSRF token in the query.

import type { SseEvent } from "./sse";
import type { LiveStream, StreamListener } from "./stream";

const EVENTS = ["progress", "log", "tasks", "end", "reset"] as const;
// EventSource gives up for good on any HTTP error; a new one asks again after this.
const REOPEN_MS = 10_000;

export function fetchCanStream(): boolean {
  return typeof ReadableStream === "function" && "body" in Response.prototype;
}

/** A stream read by the browser's EventSource, which resumes by itself. */
export class EventSourceStream implements LiveStream {
  readonly #url: () => string;
  readonly #listener: StreamListener;
  #source: EventSource | null = null;
  #lastNews: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, xsrfToken: () => string | null, listener: StreamListener) {
    this.#url = () => {
      const token = xsrfToken();
      if (!token) return url;
      return `${url}${url.includes("?") ? "&" : "?"}_xsrf=${encodeURIComponent(token)}`;
    };
    this.#listener = listener;
  }

  open(): void {
    if (this.#source) return;
    const source = new EventSource(this.#url());
    this.#source = source;
    this.#say(this.#lastNews === null ? "connecting" : "reconnecting");
    source.onopen = () => {
      this.#lastNews = Date.now();
      this.#say("live");
    };
    source.onerror = () => {
      this.#say("reconnecting");
      if (source.readyState !== EventSource.CLOSED) return;
      this.#timer = setTimeout(() => this.retryNow(), REOPEN_MS);
    };
    for (const event of EVENTS) {
      source.addEventListener(event, (message) => this.#take({ event, data: message.data }));
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  retryNow(): void {
    if (this.#source?.readyState !== EventSource.CLOSED) return;
    this.close();
    this.open();
  }

  #take(event: SseEvent): void {
    this.#lastNews = Date.now();
    this.#listener.onEvent(event);
    if (event.event !== "end") return;
    this.close();
    this.#say("ended");
  }

  #say(state: "connecting" | "live" | "reconnecting" | "ended"): void {
    this.#listener.onConnection({ state, lastNews: this.#lastNews, error: null });
  }
}
