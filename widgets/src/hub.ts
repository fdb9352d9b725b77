// One stream for everything on a browser page: gathers what the monitors want to hear, and hands it out.

import type { LogEntry, Progress } from "./messages";
import type { SseEvent } from "./sse";
import type { Connection, LiveStream, StreamListener } from "./stream";

/** What one monitor wants to hear: the progress of tasks, and the log of at most one. */
export interface Interest {
  tasks: readonly string[] | "all";
  logs: string | null;
}

export type FeedEvent =
  | { type: "progress"; progress: Progress }
  | { type: "log"; taskId: string; entries: LogEntry[] }
  | { type: "tasks" }
  | { type: "reset" }
  | { type: "connection"; connection: Connection };

export type FeedListener = (event: FeedEvent) => void;

export interface Subscription {
  /** Change what is heard; costs a reconnect only where the stream carries too little or too much. */
  update(interest: Interest): void;
  close(): void;
}

/** Where a monitor's news come from: the hub, or whatever relays them. */
export interface Feed {
  subscribe(interest: Interest, listener: FeedListener): Subscription;
}

interface Member {
  interest: Interest;
  listener: FeedListener;
}

/** The query of the one stream that serves all `interests`. */
export function streamQuery(interests: readonly Interest[]): URLSearchParams {
  const params = new URLSearchParams();
  if (!interests.some(({ tasks }) => tasks === "all")) {
    const names = new Set(interests.flatMap(({ tasks }) => [...tasks]));
    for (const name of [...names].sort()) params.append("task", name);
  }
  const logs = new Set(interests.flatMap(({ logs }) => (logs === null ? [] : [logs])));
  // The call can name one log. Without a name it carries the logs of all its tasks.
  if (logs.size === 1) for (const name of logs) params.set("logs", name);
  return params;
}

export class Hub implements Feed {
  readonly #connect: (query: string, listener: StreamListener) => LiveStream;
  readonly #members = new Set<Member>();
  #stream: LiveStream | null = null;
  #query = "";
  #connection: Connection = { state: "connecting", lastNews: null, error: null };
  #planned = false;
  #asleep = false;

  constructor(connect: (query: string, listener: StreamListener) => LiveStream) {
    this.#connect = connect;
  }

  subscribe(interest: Interest, listener: FeedListener): Subscription {
    const member: Member = { interest, listener };
    this.#members.add(member);
    this.#plan();
    if (this.#stream) listener({ type: "connection", connection: this.#connection });
    return {
      update: (changed) => {
        member.interest = changed;
        this.#plan();
      },
      close: () => {
        this.#members.delete(member);
        this.#plan();
      },
    };
  }

  /** Let go of the connection while nobody sees the page; `wake` goes on where it stopped. */
  sleep(): void {
    this.#asleep = true;
    this.#stream?.close();
  }

  wake(): void {
    if (!this.#asleep) return;
    this.#asleep = false;
    this.#stream?.open();
    this.#plan();
  }

  retryNow(): void {
    this.#stream?.retryNow();
  }

  // Several changes in one turn of the event loop cost one reconnect.
  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      if (!this.#asleep) this.#reconnect();
    });
  }

  #reconnect(): void {
    const query = streamQuery([...this.#members].map(({ interest }) => interest)).toString();
    if (this.#members.size === 0) {
      this.#stream?.close();
      this.#stream = null;
      return;
    }
    // A stream that was refused is asked for again by whoever comes or speaks next.
    const ended = this.#connection.state === "ended";
    if (this.#stream && query === this.#query && !ended) return;
    this.#stream?.close();
    this.#query = query;
    const stream = this.#connect(query, {
      onEvent: (event) => this.#deliver(event),
      onConnection: (connection) => {
        // A new query is a new stream, but for those who look on it is the same source of news.
        const lastNews = connection.lastNews ?? this.#connection.lastNews;
        this.#connection = { ...connection, lastNews };
        this.#tell(() => true, { type: "connection", connection: this.#connection });
      },
    });
    this.#stream = stream;
    stream.open();
  }

  #deliver({ event, data }: SseEvent): void {
    if (event === "progress" || event === "end") {
      const progress = JSON.parse(data) as Progress;
      this.#tell(({ tasks }) => tasks === "all" || tasks.includes(progress.task_id), {
        type: "progress",
        progress,
      });
    } else if (event === "log") {
      const entries = JSON.parse(data) as LogEntry[];
      for (const taskId of new Set(entries.map((entry) => entry.task_id))) {
        this.#tell(({ logs }) => logs === taskId, {
          type: "log",
          taskId,
          entries: entries.filter((entry) => entry.task_id === taskId),
        });
      }
    } else if (event === "tasks" || event === "reset") {
      this.#tell(() => true, { type: event });
    }
  }

  #tell(wanted: (interest: Interest) => boolean, event: FeedEvent): void {
    for (const { interest, listener } of [...this.#members]) if (wanted(interest)) listener(event);
  }
}
