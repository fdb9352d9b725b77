// A monitor: the reducer's state with what changes it, which are REST calls and the feed. Knows no DOM.

import { type Api, ApiError, errorBody, type LogQuery, type LogRange } from "./api";
import type { Feed, FeedEvent, Interest, Subscription } from "./hub";
import { ALL_ENTRIES } from "./log";
import type { LogEntry, Progress, StartBody, Task, TaskList } from "./messages";
import { type Event, INITIAL, isRemoved, type LogPlace, reduce, type State } from "./state";
import { type Command, isActive, isNews } from "./states";

const PAGE_ENTRIES = 200;
const LIST_DELAY_MS = 200;

export interface MonitorOptions {
  api: Api;
  feed: Feed;
  /** The tasks that this monitor is about: all of them (with a list), or some. */
  scope: readonly string[] | "all";
}

export class Monitor {
  readonly #api: Api;
  readonly #scope: readonly string[] | "all";
  readonly #subscription: Subscription;
  readonly #watchers = new Set<(state: State) => void>();
  readonly #startKeys = new Map<string, string>();
  #state: State = INITIAL;
  #interest: Interest;
  #listTimer: ReturnType<typeof setTimeout> | undefined;

  constructor({ api, feed, scope }: MonitorOptions) {
    this.#api = api;
    this.#scope = scope;
    this.#interest = { tasks: scope, logs: null };
    this.#subscription = feed.subscribe(this.#interest, (event) => this.#hear(event));
    void this.#readList();
  }

  /** Take what is known from elsewhere, until the feed or an answer brings something newer. */
  learn(progress: Progress): void {
    this.#dispatch({ type: "progress_read", progress });
  }

  get state(): State {
    return this.#state;
  }

  /** Call `watcher` after every change; returns how to stop. */
  watch(watcher: (state: State) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  close(): void {
    clearTimeout(this.#listTimer);
    this.#subscription.close();
    this.#watchers.clear();
  }

  /** Somebody comes back to the page, perhaps from editing syncmon.toml: what is wrong there may have changed. */
  lookAgain(): void {
    this.#listSoon();
  }

  /** Show a task, at a line of its log if one is given. */
  select(taskId: string | null, line: number | null = null): void {
    if (taskId === this.#state.selected) {
      if (line !== null && line !== this.#state.line) this.showLine(line);
      return;
    }
    if (taskId === null) this.#dispatch({ type: "selected", taskId, line });
    else this.#begin(taskId, line);
  }

  #begin(taskId: string, line: number | null = null): void {
    this.#dispatch({ type: "selected", taskId, line });
    void this.#readProgress(taskId);
    if (line === null) this.#readLog("newest");
    else this.showLine(line);
  }

  /** Do what was pressed. A second click may come before what the first one did was drawn: it is nothing. */
  async command(taskId: string, command: Command, body: Partial<StartBody> = {}): Promise<void> {
    const { progress, pressed } = this.#state;
    const known = progress[taskId];
    if (known && !isNews(command, known, pressed[taskId])) return;
    this.#dispatch({ type: "pressed", taskId, command });
    try {
      const answer = await this.#send(taskId, command, body);
      this.#dispatch({ type: "answered", taskId, command, progress: answer });
    } catch (thrown) {
      this.#dispatch({ type: "refused", taskId, command, error: errorBody(thrown) });
    }
  }

  closeRefusal(taskId: string): void {
    this.#dispatch({ type: "refusal_closed", taskId });
  }

  /** Filter and search the log, on the server. */
  query(change: Partial<LogQuery>): void {
    this.#readLog("newest", { ...this.#state.log.query, ...change });
  }

  // Other parts are new questions: answers about the part before, which are under way, are not for them.

  /** Follow the newest entry, or stop doing so. */
  follow(following: boolean): void {
    this.#dispatch({ type: "log_followed", following });
    const { atEnd, query } = this.#state.log;
    if (following && !atEnd) this.#readLog("newest", { ...query });
  }

  /** Go to the first entry: scrolling would load all that is in between. */
  showStart(): void {
    this.#readLog("oldest", { ...this.#state.log.query });
  }

  /** Show the part of the whole log around a position, once what is under way is there. */
  showAround(seq: number): void {
    if (!this.#state.log.loading) this.#readLog("around", { ...ALL_ENTRIES }, seq);
  }

  loadOlder(): void {
    const { entries, atStart, loading } = this.#state.log;
    if (entries[0] && !atStart && !loading) this.#readLog("older");
  }

  loadNewer(): void {
    const { entries, atEnd, loading } = this.#state.log;
    if (entries.length > 0 && !atEnd && !loading) this.#readLog("newer");
  }

  chooseLine(line: number | null): void {
    this.#dispatch({ type: "line_chosen", line });
  }

  /** Point at a line, loading its surroundings where they are not at hand. */
  showLine(line: number): void {
    this.#dispatch({ type: "line_chosen", line });
    this.#dispatch({ type: "log_followed", following: false });
    if (this.#state.log.entries.some(({ seq }) => seq === line)) return;
    this.#readLog("around", { ...ALL_ENTRIES }, line);
  }

  /** Point at the newest error of a unit. */
  async showErrorOf(unit: string): Promise<void> {
    const taskId = this.#state.selected;
    if (taskId === null) return;
    try {
      const query: LogQuery = { level: "error", text: "", unit };
      const [entry] = await this.#api.logs(taskId, query, { limit: 1 });
      if (entry && this.#state.selected === taskId) this.showLine(entry.seq);
    } catch (thrown) {
      this.#dispatch({ type: "log_failed", taskId, error: errorBody(thrown) });
    }
  }

  async readPlan(): Promise<void> {
    const taskId = this.#state.selected;
    if (taskId === null || this.#state.plan.loading) return;
    this.#dispatch({ type: "plan_asked" });
    try {
      this.#dispatch({ type: "plan_read", taskId, plan: await this.#api.plan(taskId) });
    } catch (thrown) {
      this.#dispatch({ type: "plan_failed", taskId, error: errorBody(thrown) });
    }
  }

  async readRuns(): Promise<void> {
    const taskId = this.#state.selected;
    if (taskId === null || this.#state.runs.loading) return;
    this.#dispatch({ type: "runs_asked" });
    try {
      this.#dispatch({ type: "runs_read", taskId, runs: await this.#api.runs(taskId) });
    } catch (thrown) {
      this.#dispatch({ type: "runs_failed", taskId, error: errorBody(thrown) });
    }
  }

  /** What the log shows, whole, as CSV. */
  async logCsv(): Promise<Blob | null> {
    const { selected: taskId, log } = this.#state;
    if (taskId === null) return null;
    try {
      return await this.#api.logsCsv(taskId, log.query);
    } catch (thrown) {
      this.#dispatch({ type: "log_failed", taskId, error: errorBody(thrown) });
      return null;
    }
  }

  #hear(event: FeedEvent): void {
    const { selected: taskId, samplesRun, connection } = this.#state;
    this.#dispatch(event);
    if (event.type === "tasks") this.#listSoon();
    if (event.type === "reset") {
      this.#listSoon();
      if (taskId !== null) void this.#readProgress(taskId);
      this.#readLog("newest");
    }
    if (event.type !== "connection") return;
    // A stream that names a task which is gone is refused, and a kernel finds it no more: the list tells.
    const { error } = event.connection;
    if (error && error.message !== connection.error?.message) this.#listSoon();
    // What changed between the first reading of the list and the stream's beginning is told by neither.
    if (event.connection.state === "live" && connection.state === "connecting") this.#listSoon();
    if (event.connection.state !== "live" || connection.state !== "reconnecting") return;
    // The stream resumes the log; what the curves missed is in the history.
    if (taskId !== null && samplesRun !== null) void this.#readHistory(taskId, samplesRun);
    if (this.#state.tasks === null) this.#listSoon();
  }

  #dispatch(event: Event): void {
    const before = this.#state;
    this.#state = reduce(before, event);
    if (this.#state === before) return;
    this.#followChange(before);
    for (const watcher of [...this.#watchers]) watcher(this.#state);
  }

  /** What a change calls for: another stream, or a last look at what has come to rest. */
  #followChange(before: State): void {
    const { selected: taskId, progress } = this.#state;
    const now = taskId === null ? undefined : progress[taskId];
    const logs = activeTask(this.#state);
    if (logs !== this.#interest.logs) {
      this.#interest = { tasks: this.#scope, logs };
      this.#subscription.update(this.#interest);
    }
    if (taskId === null || !now) return;
    if (isRemoved(before, taskId) && !isRemoved(this.#state, taskId)) {
      this.#begin(taskId); // made again: nothing that is known is of this one
      return;
    }
    const was = before.selected === taskId ? before.progress[taskId] : undefined;
    if (now.run_id && now.run_id !== was?.run_id) void this.#readHistory(taskId, now.run_id);
    if (was && isActive(was.state) && !isActive(now.state)) this.#settle(taskId);
    if (was && was.state !== now.state && this.#state.runs.value) void this.readRuns();
  }

  /** The run has come to rest and its stream goes: read once what may have been under way. */
  #settle(taskId: string): void {
    void this.#readProgress(taskId);
    const { log } = this.#state;
    if (log.atEnd) void this.#readSince(taskId, log.query);
  }

  async #readSince(taskId: string, query: LogQuery): Promise<void> {
    try {
      for (;;) {
        const after = this.#state.log.seen;
        if (after === null) return this.#readLog("newest");
        const range = { limit: PAGE_ENTRIES, after };
        const entries = await this.#api.logs(taskId, ALL_ENTRIES, range);
        if (this.#state.selected !== taskId || this.#state.log.query !== query) return;
        this.#dispatch({ type: "log", taskId, entries });
        if (entries.length < PAGE_ENTRIES) return;
      }
    } catch (thrown) {
      this.#dispatch({ type: "log_failed", taskId, error: errorBody(thrown) });
    }
  }

  #listSoon(): void {
    clearTimeout(this.#listTimer);
    this.#listTimer = setTimeout(() => void this.#readList(), LIST_DELAY_MS);
  }

  async #readList(): Promise<void> {
    try {
      const { tasks, configuration_error: configurationError } =
        this.#scope === "all" ? await this.#api.tasks() : await this.#readScope(this.#scope);
      this.#dispatch({ type: "listed", tasks, configurationError });
    } catch (thrown) {
      this.#dispatch({ type: "list_failed", error: errorBody(thrown) });
    }
  }

  async #readScope(scope: readonly string[]): Promise<TaskList> {
    const tasks = await Promise.all(scope.map((taskId) => this.#readTask(taskId)));
    return { tasks: tasks.filter((task) => task !== null), configuration_error: null };
  }

  /** Null for a task that is there no more. */
  async #readTask(taskId: string): Promise<Task | null> {
    try {
      return await this.#api.task(taskId);
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.body.code === "task_not_found") return null;
      throw thrown;
    }
  }

  async #readProgress(taskId: string): Promise<void> {
    try {
      this.#dispatch({ type: "progress_read", progress: await this.#api.progress(taskId) });
    } catch (thrown) {
      this.#dispatch({ type: "select_failed", taskId, error: errorBody(thrown) });
    }
  }

  async #readHistory(taskId: string, runId: string): Promise<void> {
    try {
      const samples = await this.#api.history(taskId, runId);
      this.#dispatch({ type: "history_read", taskId, runId, samples });
    } catch (thrown) {
      this.#dispatch({ type: "select_failed", taskId, error: errorBody(thrown) });
    }
  }

  #readLog(place: LogPlace, query: LogQuery = this.#state.log.query, seq = 0): void {
    const { selected: taskId, log } = this.#state;
    if (taskId === null) return;
    const range: LogRange = { limit: PAGE_ENTRIES };
    const [first] = log.entries;
    const last = log.entries.at(-1);
    if (place === "older" && first) range.before = first.seq;
    if (place === "newer" && last) range.after = last.seq;
    if (place === "oldest") range.after = 0;
    if (place === "around") range.after = Math.max(0, seq - PAGE_ENTRIES / 2);
    this.#dispatch({ type: "log_asked", place, query });
    void this.#fetchLog(taskId, place, query, range);
  }

  async #fetchLog(taskId: string, place: LogPlace, query: LogQuery, range: LogRange) {
    try {
      const entries: LogEntry[] = await this.#api.logs(taskId, query, range);
      const limit = range.limit ?? PAGE_ENTRIES;
      const after = range.after ?? 0;
      this.#dispatch({ type: "log_read", taskId, place, query, entries, limit, after });
    } catch (thrown) {
      this.#dispatch({ type: "log_failed", taskId, error: errorBody(thrown) });
    }
  }

  async #send(taskId: string, command: Command, body: Partial<StartBody>) {
    if (command === "pause") return this.#api.pause(taskId);
    if (command === "stop") return this.#api.stop(taskId);
    // One press is one start, however often it must be sent until it is answered.
    const whole: StartBody = { fresh: false, only_failed: false, ...body };
    const press = `${taskId} ${JSON.stringify(whole)}`;
    const key = this.#startKeys.get(press) ?? randomKey();
    this.#startKeys.set(press, key);
    try {
      const progress = await this.#api.start(taskId, whole, key);
      this.#startKeys.delete(press);
      return progress;
    } catch (thrown) {
      if (errorBody(thrown).code !== "unreachable") this.#startKeys.delete(press);
      throw thrown;
    }
  }
}

/** The task that is shown, if it is active and has not been removed: its log is to be streamed. */
function activeTask(state: State): string | null {
  const { selected, progress } = state;
  const now = selected === null ? undefined : progress[selected];
  if (!now || !isActive(now.state)) return null;
  return isRemoved(state, now.task_id) ? null : now.task_id;
}

// crypto.randomUUID exists only where the page came over HTTPS or from localhost.
function randomKey(): string {
  const parts = crypto.getRandomValues(new Uint32Array(4));
  return [...parts].map((part) => part.toString(16).padStart(8, "0")).join("");
}
