// One stream for all tabs and frames of a browser: the page's side of the SharedWorker.

import type { Feed, FeedEvent, FeedListener, Interest, Subscription } from "./hub";

/** What a page says to the worker: what it wants to hear, null when it goes. */
export interface Request {
  interest: Interest | null;
  apiUrl: string;
  xsrfToken: string | null;
  /** The network is back, or somebody looks at the page: do not wait any longer. */
  retry: boolean;
}

/** A page that says nothing for this long is gone: a hidden one's timers run once a minute. */
export const GONE_MS = 150_000;
const ALIVE_MS = 20_000;

/** A feed that lives as long as its page, and rests while the page does. */
export interface PageFeed extends Feed {
  sleep(): void;
  wake(): void;
  retryNow(): void;
}

interface Line {
  interest: Interest;
  listener: FeedListener;
  port: MessagePort;
}

export interface SharedFeedOptions {
  workerUrl: string;
  apiUrl: string;
  xsrfToken: () => string | null;
  /** Makes what is used instead where the worker cannot be loaded. */
  fallback: () => PageFeed;
}

export class SharedFeed implements PageFeed {
  readonly #options: SharedFeedOptions;
  readonly #lines = new Set<Line>();
  #fallback: PageFeed | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: SharedFeedOptions) {
    this.#options = options;
  }

  subscribe(interest: Interest, listener: FeedListener): Subscription {
    if (this.#fallback) return this.#fallback.subscribe(interest, listener);
    const worker = new SharedWorker(this.#options.workerUrl, { name: "syncmon" });
    const line: Line = { interest, listener, port: worker.port };
    let instead: Subscription | null = null;
    worker.onerror = () => {
      this.#lines.delete(line);
      this.#fallback ??= this.#options.fallback();
      instead = this.#fallback.subscribe(line.interest, listener);
    };
    line.port.onmessage = ({ data }: MessageEvent<FeedEvent>) => listener(data);
    this.#lines.add(line);
    this.#say(line);
    this.#timer ??= setInterval(() => this.#sayAll(), ALIVE_MS);
    return {
      update: (changed) => {
        line.interest = changed;
        if (instead) instead.update(changed);
        else this.#say(line);
      },
      close: () => {
        if (instead) return instead.close();
        this.#lines.delete(line);
        this.#say(line, { interest: null });
      },
    };
  }

  sleep(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const line of this.#lines) this.#say(line, { interest: null });
    this.#fallback?.sleep();
  }

  wake(): void {
    this.#fallback?.wake();
    if (this.#timer !== undefined || this.#lines.size === 0) return;
    this.#timer = setInterval(() => this.#sayAll(), ALIVE_MS);
    for (const line of this.#lines) {
      this.#say(line);
      // The stream went on for others meanwhile: what this page missed it must read.
      line.listener({ type: "reset" });
    }
  }

  retryNow(): void {
    for (const line of this.#lines) this.#say(line, { retry: true });
    this.#fallback?.retryNow();
  }

  #sayAll(): void {
    for (const line of this.#lines) this.#say(line);
  }

  #say(line: Line, parts: Partial<Request> = {}): void {
    const { apiUrl, xsrfToken } = this.#options;
    const request: Request = {
      interest: line.interest,
      apiUrl,
      xsrfToken: xsrfToken(),
      retry: false,
      ...parts,
    };
    line.port.postMessage(request);
  }
}
