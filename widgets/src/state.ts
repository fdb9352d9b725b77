// The one reducer: what a monitor knows, and how each event changes it. Pure.

import type { LogQuery } from "./api";
import { thinned, withSample } from "./history";
import type { FeedEvent } from "./hub";
import {
  appended,
  around,
  emptyLog,
  type LogWindow,
  sameQuery,
  withFollowing,
  withNewer,
  withNewest,
  withOlder,
  withOldest,
} from "./log";
import type {
  ErrorBody,
  HistorySample,
  LogEntry,
  Plan,
  Progress,
  RunSummary,
  Task,
} from "./messages";
import type { Command } from "./states";
import type { Connection } from "./stream";

/** Something that is read when a person asks for it. */
export interface Loadable<T> {
  value: T | null;
  loading: boolean;
  error: ErrorBody | null;
}

export interface State {
  /** Null until the list was read. */
  tasks: readonly Task[] | null;
  listError: ErrorBody | null;
  /** What is wrong with syncmon.toml, while its last good version is in use. */
  configurationError: ErrorBody | null;
  /** The newest progress of every task heard of. */
  progress: Readonly<Record<string, Progress>>;
  connection: Connection;
  /** The task that is shown, and everything below belongs to it. */
  selected: string | null;
  selectError: ErrorBody | null;
  /** The log line that is pointed at. */
  line: number | null;
  log: LogWindow;
  samples: readonly HistorySample[];
  /** The run that `samples` are of. */
  samplesRun: string | null;
  plan: Loadable<Plan>;
  runs: Loadable<RunSummary[]>;
  /** Commands on their way, by task. */
  pressed: Readonly<Record<string, Command>>;
  /** What a command was answered with, by task, until the next one. */
  refusals: Readonly<Record<string, ErrorBody>>;
}

export type LogPlace = "newest" | "older" | "newer" | "around" | "oldest";

export type Event =
  | FeedEvent
  | { type: "listed"; tasks: Task[]; configurationError: ErrorBody | null }
  | { type: "list_failed"; error: ErrorBody }
  | { type: "selected"; taskId: string | null; line: number | null }
  | { type: "select_failed"; taskId: string; error: ErrorBody }
  | { type: "progress_read"; progress: Progress }
  | { type: "log_asked"; place: LogPlace; query: LogQuery }
  | {
      type: "log_read";
      taskId: string;
      place: LogPlace;
      query: LogQuery;
      entries: LogEntry[];
      limit: number;
      after: number;
    }
  | { type: "log_failed"; taskId: string; error: ErrorBody }
  | { type: "log_followed"; following: boolean }
  | { type: "line_chosen"; line: number | null }
  | { type: "history_read"; taskId: string; runId: string; samples: HistorySample[] }
  | { type: "plan_asked" | "runs_asked" }
  | { type: "plan_read"; taskId: string; plan: Plan }
  | { type: "plan_failed"; taskId: string; error: ErrorBody }
  | { type: "runs_read"; taskId: string; runs: RunSummary[] }
  | { type: "runs_failed"; taskId: string; error: ErrorBody }
  | { type: "pressed"; taskId: string; command: Command }
  | { type: "answered"; taskId: string; command: Command; progress: Progress }
  | { type: "refused"; taskId: string; command: Command; error: ErrorBody }
  | { type: "refusal_closed"; taskId: string };

const NOT_READ = { value: null, loading: false, error: null };

export const INITIAL: State = {
  tasks: null,
  listError: null,
  configurationError: null,
  progress: {},
  connection: { state: "connecting", lastNews: null, error: null },
  selected: null,
  selectError: null,
  line: null,
  log: emptyLog(),
  samples: [],
  samplesRun: null,
  plan: NOT_READ,
  runs: NOT_READ,
  pressed: {},
  refusals: {},
};

/** Whether a task is known to be there no more. */
export function isRemoved({ tasks }: State, taskId: string): boolean {
  return tasks !== null && !tasks.some(({ task_id }) => task_id === taskId);
}

export function reduce(state: State, event: Event): State {
  switch (event.type) {
    case "connection":
      return { ...state, connection: event.connection };
    case "listed":
      return withList(state, event.tasks, event.configurationError);
    case "list_failed":
      return { ...state, listError: event.error };
    case "selected":
      return selected(state, event.taskId, event.line);
    case "progress":
      return withProgress(state, event.progress);
    case "progress_read":
      return isOlder(event.progress, state.progress[event.progress.task_id])
        ? state
        : withProgress(state, event.progress);
    case "answered":
      return {
        ...reduce(state, { type: "progress_read", progress: event.progress }),
        pressed: unpressed(state, event),
      };
    case "pressed":
      return {
        ...state,
        pressed: { ...state.pressed, [event.taskId]: event.command },
        refusals: without(state.refusals, event.taskId),
      };
    case "refused":
      return {
        ...state,
        pressed: unpressed(state, event),
        refusals: { ...state.refusals, [event.taskId]: event.error },
      };
    case "refusal_closed":
      return { ...state, refusals: without(state.refusals, event.taskId) };
    case "log_asked":
      return { ...state, log: logAsked(state.log, event.place, event.query) };
    case "line_chosen":
      return { ...state, line: event.line };
    case "log_followed":
      return { ...state, log: withFollowing(state.log, event.following) };
    case "plan_asked":
      return { ...state, plan: { ...state.plan, loading: true, error: null } };
    case "runs_asked":
      return { ...state, runs: { ...state.runs, loading: true, error: null } };
    // What is known of the log's position is void: the next batch is the newest.
    case "reset":
      return { ...state, log: emptyLog(state.log.query) };
    case "tasks":
      return state;
    default:
      return event.taskId === state.selected ? reduceSelected(state, event) : state;
  }
}

type SelectedEvent = Extract<
  Event,
  {
    type:
      | "log"
      | "log_read"
      | "log_failed"
      | "select_failed"
      | "history_read"
      | "plan_read"
      | "plan_failed"
      | "runs_read"
      | "runs_failed";
  }
>;

/** Answers may come late: only those about the task that is shown get here. */
function reduceSelected(state: State, event: SelectedEvent): State {
  switch (event.type) {
    case "log":
      return { ...state, log: appended(state.log, event.entries) };
    case "log_read":
      return event.query === state.log.query ? { ...state, log: logRead(state.log, event) } : state;
    case "log_failed":
      return { ...state, log: { ...state.log, loading: null, error: event.error } };
    case "select_failed":
      return { ...state, selectError: event.error };
    case "history_read":
      return withHistory(state, event.runId, event.samples);
    case "plan_read":
      return { ...state, plan: { value: event.plan, loading: false, error: null } };
    case "plan_failed":
      return { ...state, plan: { ...state.plan, loading: false, error: event.error } };
    case "runs_read":
      return { ...state, runs: { value: event.runs, loading: false, error: null } };
    case "runs_failed":
      return { ...state, runs: { ...state.runs, loading: false, error: event.error } };
  }
}

function withList(state: State, tasks: Task[], configurationError: ErrorBody | null): State {
  const progress: Record<string, Progress> = {};
  for (const { task_id, progress: listed } of tasks) {
    const known = state.progress[task_id];
    progress[task_id] = known && isOlder(listed, known) ? known : mergedProgress(known, listed);
  }
  const next = { ...state, tasks, listError: null, configurationError, progress };
  const { selected } = state;
  const last = selected === null ? undefined : state.progress[selected];
  if (!last || progress[last.task_id]) return next;
  // It was removed while it is shown: its last state stays, and says so.
  const selectError = {
    code: "task_not_found",
    message: `Task ${last.task_id} was removed.`,
    hint: "This is how it was last.",
  };
  return { ...next, selectError, progress: { ...progress, [last.task_id]: last } };
}

function selected(state: State, taskId: string | null, line: number | null): State {
  const { selectError, log, samples, samplesRun, plan, runs } = INITIAL;
  return {
    ...state,
    selected: taskId,
    line,
    selectError,
    log,
    samples,
    samplesRun,
    plan,
    runs,
  };
}

function withProgress(state: State, news: Progress): State {
  const id = news.task_id;
  const merged = mergedProgress(state.progress[id], news);
  const next = { ...state, progress: { ...state.progress, [id]: merged } };
  if (id !== state.selected || merged.run_id === null) return next;
  if (merged.run_id === state.samplesRun) {
    return { ...next, samples: withSample(state.samples, merged) };
  }
  return { ...next, samplesRun: merged.run_id, samples: withSample([], merged) };
}

/** The whole after a message that may carry only the units that changed. */
export function mergedProgress(known: Progress | undefined, news: Progress): Progress {
  if (!news.units_partial || !known || known.run_id !== news.run_id) return news;
  const changed = new Map(news.units.map((unit) => [unit.unit_id, unit]));
  const units = known.units.map((unit) => {
    const newer = changed.get(unit.unit_id);
    changed.delete(unit.unit_id);
    return newer ?? unit;
  });
  return { ...news, units: [...units, ...changed.values()], units_partial: known.units_partial };
}

/** Whether an answer was overtaken by what the stream said meanwhile. */
function isOlder(read: Progress, known: Progress | undefined): boolean {
  if (!known || known.run_id !== read.run_id) return false;
  if (known.updated_at === null || read.updated_at === null) return false;
  return Date.parse(read.updated_at) < Date.parse(known.updated_at);
}

function withHistory(state: State, runId: string, past: HistorySample[]): State {
  if (state.samplesRun !== null && state.samplesRun !== runId) return state;
  const last = past.at(-1);
  const live = state.samples.filter(
    (sample) => !last || Date.parse(sample.time) > Date.parse(last.time),
  );
  return { ...state, samplesRun: runId, samples: thinned([...past, ...live]) };
}

function logAsked(log: LogWindow, place: LogPlace, query: LogQuery): LogWindow {
  const loading = place === "around" || place === "oldest" ? "newest" : place;
  // What is shown stays until the answer is there, unless something else is asked for.
  if (sameQuery(query, log.query)) return { ...log, query, loading, error: null };
  // The position in the task's log stays known, whatever part of it is shown.
  return { ...emptyLog(query), first: log.first, seen: log.seen, loading };
}

function logRead(
  log: LogWindow,
  { place, entries, limit, after }: Extract<Event, { type: "log_read" }>,
): LogWindow {
  if (place === "older") return withOlder(log, entries, limit);
  if (place === "newer") return withNewer(log, entries, limit);
  if (place === "around") return around(log, entries, after, limit);
  if (place === "oldest") return withOldest(log, entries, limit);
  return withNewest(log, entries, limit);
}

/** What is on its way after an answer: a stop may have been pressed while a pause was. */
function unpressed(
  { pressed }: State,
  { taskId, command }: { taskId: string; command: Command },
): State["pressed"] {
  return pressed[taskId] === command ? without(pressed, taskId) : pressed;
}

function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  const { [key]: _, ...rest } = record;
  return rest;
}
