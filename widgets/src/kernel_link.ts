// The kernel as a server: requests and news over a widget's messages, where the browser reaches none.

import type { Feed, FeedEvent, FeedListener, Interest, Subscription } from "./hub";
import type { LogEntry, Progress } from "./messages";
import type { ConnectionState } from "./stream";

/** The part of a widget's model that is needed here. */
export interface Channel {
  send(message: unknown): void;
  on(event: "msg:custom", listener: (message: unknown) => void): void;
  off(event: "msg:custom", listener: (message: unknown) => void): void;
}

/** What the kernel says: the answer to a request, or what is new; `error` is why it knows nothing new. */
export type KernelMessage =
  | { type: "answer"; id: string; status: number; body: string }
  | { type: "news"; progress: Progress[]; logs: LogEntry[]; tasks: boolean; error: string | null };

/** What the page says to the kernel. */
export type PageMessage =
  | { type: "request"; id: string; method: string; path: string; key: string | null; body: unknown }
  | { type: "hello" | "bye" | "direct" };

/** The kernel speaks every 3 s at least: two missed messages and some slack are a silence. */
export const SILENCE_MS = 8_000;
/** A plan asks two databases. A command is not given up: a kernel that is busy obeys it in the end. */
export const ANSWER_MS = 120_000;
/** A kernel that is free obeys sooner. */
export const BUSY_MS = 1_500;

interface Waiting {
  answer: (response: Response) => void;
  timer: ReturnType<typeof setTimeout>;
}

type BusyWatcher = (busy: boolean) => void;

export class KernelLink implements Feed {
  readonly #channel: Channel;
  readonly #root: string;
  readonly #waiting = new Map<string, Waiting>();
  readonly #listeners = new Map<FeedListener, Interest>();
  readonly #hear = (message: unknown) => this.#take(message as KernelMessage);
  #state: ConnectionState = "connecting";
  #lastNews: number | null = null;
  #silence: ReturnType<typeof setTimeout> | undefined;
  readonly #late = new Set<string>();
  readonly #busyWatchers = new Set<BusyWatcher>();

  /** `root` is what the addresses of requests begin with. */
  constructor(channel: Channel, root: string) {
    this.#channel = channel;
    this.#root = root;
    channel.on("msg:custom", this.#hear);
    this.#hello();
  }

  /** Takes the place of `fetch` in the REST client. */
  readonly fetch: typeof fetch = (input, init) => {
    const id = randomId();
    const path = String(input).slice(this.#root.length + 1);
    const body = typeof init?.body === "string" ? JSON.parse(init.body) : null;
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waiting.delete(id);
        reject(new TypeError("the kernel does not answer"));
      };
      const isCommand = init?.method === "POST";
      const timer = isCommand
        ? setTimeout(() => this.#setLate(id, true), BUSY_MS)
        : setTimeout(giveUp, ANSWER_MS);
      this.#waiting.set(id, { answer: resolve, timer });
      const key = new Headers(init?.headers).get("Idempotency-Key");
      this.#say({ type: "request", id, method: init?.method ?? "GET", path, key, body });
    });
  };

  subscribe(interest: Interest, listener: FeedListener): Subscription {
    this.#listeners.set(listener, interest);
    listener(this.#connection(null));
    return {
      update: (changed) => this.#listeners.set(listener, changed),
      close: () => this.#listeners.delete(listener),
    };
  }

  /** Tell `watcher` when a command waits because the kernel is busy, and when none does any more. */
  watchBusy(watcher: BusyWatcher): () => void {
    this.#busyWatchers.add(watcher);
    return () => this.#busyWatchers.delete(watcher);
  }

  close(): void {
    clearTimeout(this.#silence);
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
    this.#listeners.clear();
    this.#busyWatchers.clear();
    this.#channel.off("msg:custom", this.#hear);
    this.#say({ type: "bye" });
  }

  #take(message: KernelMessage): void {
    if (message.type === "answer") {
      const waiting = this.#waiting.get(message.id);
      if (!waiting) return;
      clearTimeout(waiting.timer);
      this.#waiting.delete(message.id);
      this.#setLate(message.id, false);
      const headers = { "Content-Type": "application/json" };
      waiting.answer(new Response(message.body, { status: message.status, headers }));
    } else if (message.type === "news") {
      this.#news(message);
    }
  }

  #news({ progress, logs, tasks, error }: KernelMessage & { type: "news" }): void {
    this.#watchSilence();
    if (error === null) this.#lastNews = Date.now();
    this.#become(error === null ? "live" : "reconnecting", error);
    for (const one of progress) this.#tell({ type: "progress", progress: one });
    for (const taskId of new Set(logs.map((entry) => entry.task_id))) {
      const entries = logs.filter((entry) => entry.task_id === taskId);
      this.#tell({ type: "log", taskId, entries });
    }
    if (tasks) this.#tell({ type: "tasks" });
  }

  #setLate(id: string, late: boolean): void {
    const before = this.#late.size > 0;
    if (late) this.#late.add(id);
    else this.#late.delete(id);
    const busy = this.#late.size > 0;
    if (busy !== before) for (const watcher of this.#busyWatchers) watcher(busy);
  }

  #become(state: ConnectionState, error: string | null): void {
    if (state === this.#state && state === "live") return;
    this.#state = state;
    this.#tell(this.#connection(error));
  }

  #connection(error: string | null): FeedEvent {
    const body = error === null ? null : { code: "unreachable", message: error, hint: "" };
    const connection = { state: this.#state, lastNews: this.#lastNews, error: body };
    return { type: "connection", connection };
  }

  /** Ask for everything; again when nothing comes, since the kernel may have been busy or away. */
  #hello(): void {
    this.#say({ type: "hello" });
    this.#watchSilence();
  }

  #watchSilence(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#become("reconnecting", null);
      this.#hello();
    }, SILENCE_MS);
  }

  #tell(event: FeedEvent): void {
    for (const [listener, interest] of [...this.#listeners]) {
      if (wants(interest, event)) listener(event);
    }
  }

  #say(message: PageMessage): void {
    this.#channel.send(message);
  }
}

function wants({ tasks, logs }: Interest, event: FeedEvent): boolean {
  if (event.type === "log") return event.taskId === logs;
  if (event.type !== "progress") return true;
  return tasks === "all" || tasks.includes(event.progress.task_id);
}

function randomId(): string {
  return [...crypto.getRandomValues(new Uint32Array(3))].map((part) => part.toString(36)).join("");
}
