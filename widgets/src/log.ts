// The window of a task's log that a view holds: contiguous, bounded, no entry twice. Pure functions.

import { type LogQuery, SHOWN_LEVELS } from "./api";
import type { ErrorBody, LogEntry } from "./messages";

/** Entries kept: some 4 MB of text, and no more rows than a browser can lay out. */
export const WINDOW_ENTRIES = 20_000;

export const ALL_ENTRIES: LogQuery = { level: "all", text: "", unit: null };

export interface LogWindow {
  query: LogQuery;
  /** Ascending by seq; what matches the query between the first and the last. */
  entries: readonly LogEntry[];
  /** The lowest seq that exists, as far as is known: old entries may be pruned. */
  first: number;
  /** The highest seq known to exist, matching or not; null before any. */
  seen: number | null;
  /** Nothing older matches. */
  atStart: boolean;
  /** Nothing newer matches: what arrives can be appended. */
  atEnd: boolean;
  /** The view stays at the newest entry. */
  following: boolean;
  /** Entries that came while the view did not follow. */
  unread: number;
  loading: "newest" | "older" | "newer" | null;
  error: ErrorBody | null;
}

export function emptyLog(query: LogQuery = ALL_ENTRIES): LogWindow {
  return {
    query,
    entries: [],
    first: 1,
    seen: null,
    atStart: false,
    atEnd: true,
    following: true,
    unread: 0,
    loading: null,
    error: null,
  };
}

/** Where the window lies among all rows that the scroll bar spans. */
export interface Span {
  /** Rows before the window. */
  readonly before: number;
  /** All rows: of the whole log, or, where it is filtered, what is known to match. */
  readonly rows: number;
}

export function spanOf({ query, entries, first, seen, atEnd }: LogWindow): Span {
  const [oldest] = entries;
  if (!oldest || isFiltered(query)) return { before: 0, rows: entries.length };
  // Entries are numbered without gaps: a number tells a place.
  const before = Math.max(0, oldest.seq - first);
  const end = before + entries.length;
  return { before, rows: atEnd || seen === null ? end : Math.max(end, seen - first + 1) };
}

/** How many rows came (or, negative, went) above what was shown before. */
export function shiftOf(before: LogWindow, now: LogWindow): number {
  const [oldFirst] = before.entries;
  const [newFirst] = now.entries;
  if (!oldFirst || !newFirst) return 0;
  // A place in the whole log is a number's, whatever is loaded.
  if (!isFiltered(now.query)) return before.first - now.first;
  if (newFirst.seq < oldFirst.seq) return Math.max(0, indexOf(now.entries, oldFirst.seq));
  return -Math.max(0, indexOf(before.entries, newFirst.seq));
}

/** Where an entry is in the window; -1 where it is not. */
export function indexOf(entries: readonly LogEntry[], seq: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle]?.seq ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return entries[low]?.seq === seq ? low : -1;
}

export function isFiltered({ level, text, unit }: LogQuery): boolean {
  return level !== "all" || text !== "" || unit !== null;
}

export function sameQuery(one: LogQuery, other: LogQuery): boolean {
  return one.level === other.level && one.text === other.text && one.unit === other.unit;
}

/** The server's filter, for the entries that the stream brings. */
export function matches(entry: LogEntry, { level, text, unit }: LogQuery): boolean {
  if (SHOWN_LEVELS[level]?.includes(entry.level) === false) return false;
  if (unit && entry.unit !== unit) return false;
  return !text || entry.message.toLowerCase().includes(text.toLowerCase());
}

/** Add what the stream brought. */
export function appended(log: LogWindow, batch: readonly LogEntry[]): LogWindow {
  const { seen } = log;
  const news = seen === null ? batch : batch.filter((entry) => entry.seq > seen);
  const [first] = news;
  const last = news.at(-1);
  if (!first || !last) return log;
  const found = news.filter((entry) => matches(entry, log.query));
  const hole = seen !== null && first.seq > seen + 1;
  const moved = { ...log, seen: last.seq };
  if (!log.atEnd || (hole && !log.following)) {
    // The reader is elsewhere: what is in between is loaded when they come down.
    return { ...moved, atEnd: false, unread: log.unread + found.length };
  }
  // A hole is closed from above: the older part is dropped, and loaded again by scrolling up.
  const kept = hole ? [] : log.entries;
  const atStart = hole ? false : log.atStart;
  if (found.length === 0) return { ...moved, entries: kept, atStart };
  const entries = [...kept, ...found];
  if (log.following) return { ...moved, ...withoutOldest(entries, atStart) };
  const unread = log.unread + found.length;
  if (entries.length > WINDOW_ENTRIES) return { ...moved, atEnd: false, unread };
  return { ...moved, entries, atStart, unread };
}

/** Take the newest page that was asked for; entries that the stream brought meanwhile stay. */
export function withNewest(log: LogWindow, page: readonly LogEntry[], limit: number): LogWindow {
  const last = page.at(-1)?.seq ?? 0;
  const streamed = log.atEnd ? log.entries.filter((entry) => entry.seq > last) : [];
  const whole = !isFiltered(log.query);
  const hole = whole && streamed[0] !== undefined && streamed[0].seq > last + 1;
  return {
    ...log,
    ...withoutOldest(hole ? streamed : [...page, ...streamed], !hole && page.length < limit),
    first: whole && page.length < limit ? (page[0]?.seq ?? log.first) : log.first,
    seen: Math.max(log.seen ?? 0, last),
    atEnd: true,
    unread: 0,
    loading: null,
    error: null,
  };
}

/** Put an older page before the window; at the bound, the newest entries give way. */
export function withOlder(log: LogWindow, page: readonly LogEntry[], limit: number): LogWindow {
  const first = log.entries[0]?.seq ?? Number.POSITIVE_INFINITY;
  const older = page.filter((entry) => entry.seq < first);
  const entries = [...older, ...log.entries];
  const tooMany = entries.length > WINDOW_ENTRIES;
  const atStart = page.length < limit;
  return {
    ...log,
    ...(atStart && !isFiltered(log.query) && { first: entries[0]?.seq ?? log.first }),
    entries: tooMany ? entries.slice(0, WINDOW_ENTRIES) : entries,
    atStart,
    atEnd: log.atEnd && !tooMany,
    loading: null,
    error: null,
  };
}

/** Put a newer page behind the window; at the bound, the oldest entries give way. */
export function withNewer(log: LogWindow, page: readonly LogEntry[], limit: number): LogWindow {
  const last = log.entries.at(-1)?.seq ?? 0;
  const newer = page.filter((entry) => entry.seq > last);
  const atEnd = page.length < limit;
  const newest = newer.at(-1)?.seq ?? last;
  return {
    ...log,
    ...withoutOldest([...log.entries, ...newer], log.atStart),
    seen: Math.max(log.seen ?? 0, newest),
    atEnd,
    unread: atEnd ? 0 : Math.max(0, log.unread - newer.length),
    loading: null,
    error: null,
  };
}

/** Show another part of the log: `page` holds what comes behind `after`, without a gap. */
export function around(
  log: LogWindow,
  page: readonly LogEntry[],
  after: number,
  limit: number,
): LogWindow {
  const read = { ...log, following: false, loading: null, error: null };
  const oldest = page[0]?.seq;
  const newest = page.at(-1)?.seq;
  // Nothing is there any more: the log ends where it is known to end.
  if (!oldest || !newest) return { ...read, seen: log.entries.at(-1)?.seq ?? log.seen };
  const first = oldest > after + 1 && !isFiltered(log.query) ? oldest : log.first;
  const seen = Math.max(log.seen ?? 0, newest);
  return {
    ...read,
    entries: page,
    first,
    seen,
    atStart: after === 0 || oldest <= first,
    atEnd: page.length < limit && newest === seen,
    unread: 0,
  };
}

/** Show the log from its first entry on. */
export function withOldest(log: LogWindow, page: readonly LogEntry[], limit: number): LogWindow {
  const shown = around(log, page, 0, limit);
  return { ...shown, atStart: true, atEnd: page.length < limit };
}

export function withFollowing(log: LogWindow, following: boolean): LogWindow {
  if (following === log.following) return log;
  if (!following) return { ...log, following };
  return { ...log, ...withoutOldest(log.entries, log.atStart), following, unread: 0 };
}

function withoutOldest(
  entries: readonly LogEntry[],
  atStart: boolean,
): Pick<LogWindow, "entries" | "atStart"> {
  if (entries.length <= WINDOW_ENTRIES) return { entries, atStart };
  return { entries: entries.slice(-WINDOW_ENTRIES), atStart: false };
}
