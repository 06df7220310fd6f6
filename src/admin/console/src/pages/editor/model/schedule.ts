// When a popup's windows are open: the rule of the node (a local time is inside where it is on one
// of the days and in [from, to); `to` at or before `from` runs past midnight and belongs to the day
// on which it starts), as intervals of moments and as rows of local days for the time line.
import {
  clockChanges,
  DAY_MS,
  fromLocal,
  momentOf,
  offsetMs,
  toLocal,
  type ClockChange,
} from './zones';

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Day = (typeof DAYS)[number];

export interface Window {
  /** Empty: every day. */
  readonly days: readonly Day[];
  /** Local time of the day, in milliseconds. */
  readonly from: number;
  /** May be beyond midnight. */
  readonly to: number;
}

export interface Interval {
  readonly from: number;
  readonly to: number;
}

function timeOfDay(text: unknown): number | undefined {
  const parts = typeof text === 'string' ? /^(\d{2}):(\d{2})$/.exec(text) : null;
  if (!parts) return undefined;
  const [hours, minutes] = [Number(parts[1]), Number(parts[2])];
  const isTime = (hours < 24 && minutes < 60) || (hours === 24 && minutes === 0);
  return isTime ? (hours * 60 + minutes) * 60_000 : undefined;
}

/** The windows of a definition that can be read; those with errors are left out. */
export function readWindows(value: unknown): Window[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown) => {
    const { days, from, to } = (item ?? {}) as { days?: unknown; from?: unknown; to?: unknown };
    const [begin, end] = [timeOfDay(from), timeOfDay(to)];
    if (begin === undefined || end === undefined || begin >= DAY_MS) return [];
    const known = Array.isArray(days) ? DAYS.filter((day) => days.includes(day)) : [];
    return [{ days: known, from: begin, to: end > begin ? end : end + DAY_MS }];
  });
}

/** Parts of [from, to) in which the zone's offset is one. */
function steadyParts(zone: string, from: number, to: number): (Interval & { offset: number })[] {
  const changes = clockChanges(zone, from, to);
  const bounds = [from, ...changes.map(({ at }) => at), to];
  return bounds.slice(0, -1).map((begin, index) => ({
    from: begin,
    to: bounds[index + 1] ?? to,
    offset: offsetMs(zone, begin),
  }));
}

function startOfDay(local: number): number {
  return Math.floor(local / DAY_MS) * DAY_MS;
}

function dayName(local: number): Day {
  // 1970-01-01 was a Thursday.
  return DAYS[(((Math.floor(local / DAY_MS) + 3) % 7) + 7) % 7] ?? 'mon';
}

/** When windows are open within [from, to), in order, without overlaps. No windows: always. */
export function openIntervals(
  windows: readonly Window[],
  zone: string,
  within: Interval,
): Interval[] {
  if (windows.length === 0) return within.from < within.to ? [within] : [];
  const found: Interval[] = [];
  for (const part of steadyParts(zone, within.from, within.to)) {
    const [localFrom, localTo] = [part.from + part.offset, part.to + part.offset];
    // A window of the day before may reach into the first.
    for (let day = startOfDay(localFrom) - DAY_MS; day < localTo; day += DAY_MS) {
      const name = dayName(day);
      for (const { days, from, to } of windows) {
        if (days.length > 0 && !days.includes(name)) continue;
        const begin = Math.max(day + from, localFrom) - part.offset;
        const end = Math.min(day + to, localTo) - part.offset;
        if (begin < end) found.push({ from: begin, to: end });
      }
    }
  }
  return joined(found);
}

function joined(intervals: Interval[]): Interval[] {
  const sorted = intervals.toSorted((a, b) => a.from - b.from);
  const made: Interval[] = [];
  for (const next of sorted) {
    const last = made.at(-1);
    if (last && next.from <= last.to) {
      made[made.length - 1] = { from: last.from, to: Math.max(last.to, next.to) };
    } else {
      made.push(next);
    }
  }
  return made;
}

/** A bar on the row of a local day: shares of 24 hours by the clock on the wall. */
export interface Bar {
  readonly from: number;
  readonly to: number;
}

export interface DayRow {
  /** The local midnight that the day begins with, counted as if the zone were UTC. */
  readonly local: number;
  readonly open: readonly Bar[];
  /** What the clock skips (nothing is ever shown there) or shows twice. */
  readonly skipped: readonly Bar[];
  readonly twice: readonly Bar[];
  readonly change: ClockChange | null;
}

/** What a time line shows. */
export interface Schedule {
  readonly windows: readonly Window[];
  readonly zone: string;
  readonly startsAt: number | undefined;
  readonly endsAt: number | undefined;
}

/** The schedule of a definition; `user` as a zone is drawn as UTC. */
export function readSchedule(definition: Record<string, unknown>): Schedule {
  const tz = definition['tz'];
  return {
    windows: readWindows(definition['windows']),
    zone: typeof tz === 'string' && tz !== 'user' ? tz : 'UTC',
    startsAt: momentOf(definition['starts_at']),
    endsAt: momentOf(definition['ends_at']),
  };
}

/** Rows for so many local days from the day of a moment. */
export function dayRows(schedule: Schedule, from: number, count: number): DayRow[] {
  const { zone } = schedule;
  const first = startOfDay(toLocal(zone, from));
  return Array.from({ length: count }, (_, index) => dayRow(schedule, first + index * DAY_MS));
}

function dayRow(schedule: Schedule, local: number): DayRow {
  const { windows, zone, startsAt = -Infinity, endsAt = Infinity } = schedule;
  const day = { from: fromLocal(zone, local).moment, to: fromLocal(zone, local + DAY_MS).moment };
  const run = { from: Math.max(day.from, startsAt), to: Math.min(day.to, endsAt) };
  const share = (at: number) => Math.min(1, Math.max(0, (at - local) / DAY_MS));
  const bar = (interval: Interval): Bar => ({ from: share(interval.from), to: share(interval.to) });
  const open: Bar[] = [];
  for (const interval of openIntervals(windows, zone, run)) {
    for (const part of steadyParts(zone, interval.from, interval.to)) {
      open.push(bar({ from: part.from + part.offset, to: part.to + part.offset }));
    }
  }
  const change = clockChanges(zone, day.from, day.to)[0] ?? null;
  const moved = change && { from: change.at + change.before, to: change.at + change.after };
  const forward = moved && moved.to > moved.from ? [bar(moved)] : [];
  const back = moved && moved.to < moved.from ? [bar({ from: moved.to, to: moved.from })] : [];
  return { local, open, skipped: forward, twice: back, change };
}

/** The first opening at or after a moment, within a year; `undefined` if there is none. */
export function nextOpening(schedule: Schedule, now: number): number | undefined {
  const begin = Math.max(now, schedule.startsAt ?? now);
  const year = 366 * DAY_MS;
  for (let from = begin; from < begin + year; from += 14 * DAY_MS) {
    const to = Math.min(from + 14 * DAY_MS, schedule.endsAt ?? Infinity);
    const first = openIntervals(schedule.windows, schedule.zone, { from, to })[0];
    if (first) return first.from;
  }
  return undefined;
}

/** Milliseconds in which windows are open in a range: what tells a window that never opens. */
export function openMs(schedule: Schedule, within: Interval): number {
  const intervals = openIntervals(schedule.windows, schedule.zone, within);
  return intervals.reduce((sum, { from, to }) => sum + to - from, 0);
}
