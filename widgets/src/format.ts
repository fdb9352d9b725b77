// Numbers, sizes, durations and times in words.

const COUNT = new Intl.NumberFormat("en-US");
const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;
const CLOCK = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const CLOCK_SHORT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DATE_TIME = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "short",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
});
const EXACT_TIME = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "short",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  timeZoneName: "short",
});

/** 336776 → "336,776". */
export function count(value: number): string {
  return COUNT.format(Math.round(value));
}

/** Three meaningful digits: 41234 → "41.2 k". */
export function short(value: number): string {
  if (value < 999.5)
    return value < 10 && value > 0 ? trim(value.toPrecision(2)) : `${Math.round(value)}`;
  let scaled = value;
  let unit = "";
  for (const next of ["k", "M", "G", "T"]) {
    if (scaled < 999.5) break;
    scaled /= 1000;
    unit = next;
  }
  return `${threeDigits(scaled)} ${unit}`;
}

/** 3328599654 → "3.1 GiB". */
export function bytes(value: number): string {
  let scaled = value;
  let at = 0;
  while (scaled >= 1023.5 && at < BYTE_UNITS.length - 1) {
    scaled /= 1024;
    at += 1;
  }
  const digits = at === 0 || scaled >= 99.95 ? 0 : 1;
  return `${scaled.toFixed(digits)} ${BYTE_UNITS[at]}`;
}

/** Whole percents, rounded down: 100 is said only when it is true. */
export function percent(value: number | null): string {
  return value === null ? "" : `${Math.floor(value)} %`;
}

/** "about 336,776" where it is an estimate. */
export function total(value: number, isEstimate: boolean): string {
  return isEstimate ? `about ${count(value)}` : count(value);
}

/** "212,340 of about 336,776 rows"; without the total where it is unknown. */
export function countOf(
  done: number,
  all: number | null,
  isEstimate: boolean,
  noun = "row",
): string {
  if (all === null) return plural(done, noun);
  return `${count(done)} of ${total(all, isEstimate)} ${noun}${all === 1 ? "" : "s"}`;
}

/** "41.2 k rows/s". */
export function rate(value: number, noun = "row"): string {
  return `${short(value)} ${noun}s/s`;
}

/** "1 min 52 s", "3 h 05 min", "2 d 4 h": two units at most. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${pad(whole % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${pad(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A range in one unit: "2–4 min"; "about 3 min" where both ends read the same. */
export function durationRange(lowSeconds: number, highSeconds: number): string {
  const high = Math.max(0, highSeconds);
  const low = Math.min(Math.max(0, lowSeconds), high);
  if (high < 10) return "under 10 s";
  const [size, unit, step] = rangeUnit(high);
  const lowest = Math.floor(low / size / step + 1e-9) * step;
  const highest = Math.ceil(high / size / step - 1e-9) * step;
  if (lowest === highest) return `about ${trim(highest.toFixed(1))} ${unit}`;
  if (lowest === 0) return `up to ${trim(highest.toFixed(1))} ${unit}`;
  return `${trim(lowest.toFixed(1))}–${trim(highest.toFixed(1))} ${unit}`;
}

/** "2–4 min left" from the estimate's ends, else from its middle; null where there is none. */
export function timeLeft(
  low: number | null,
  middle: number | null,
  high: number | null,
): string | null {
  if (low !== null && high !== null) return `${durationRange(low, high)} left`;
  return middle === null ? null : `${durationRange(middle, middle)} left`;
}

/** Local clock time: "14:30:15". */
export function clock(time: string | number): string {
  return CLOCK.format(new Date(time));
}

/** Local clock time on an axis: "14:30". */
export function clockShort(time: number): string {
  return CLOCK_SHORT.format(new Date(time));
}

export function dateTime(time: string): string {
  return DATE_TIME.format(new Date(time));
}

/** With milliseconds and zone, for a title. */
export function exactTime(time: string): string {
  return EXACT_TIME.format(new Date(time));
}

/** 1 → "1 table", 5 → "5 tables". */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

function rangeUnit(high: number): [size: number, unit: string, step: number] {
  if (high <= 90) return [1, "s", 5];
  if (high < 5 * 60) return [60, "min", 1];
  if (high <= 90 * 60) return [60, "min", high < 20 * 60 ? 1 : 5];
  if (high < 10 * 3600) return [3600, "h", 0.5];
  if (high < 48 * 3600) return [3600, "h", 1];
  return [86_400, "d", 0.5];
}

function threeDigits(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  return value.toFixed(1);
}

function trim(digits: string): string {
  return digits.replace(/\.0+$/, "");
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
