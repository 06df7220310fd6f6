// Rows of statistics put together: by popup, by variant, by point of a chart.
import type { Counts, Stats, StatsRow } from '../../api/stats';
import { dateOf, daysOf, hoursOf } from './calendar';

/** What is counted; uniques can't be summed, and have their places of their own. */
export const MEASURES = [
  { id: 'decided', label: 'Shows' },
  { id: 'clicked', label: 'Clicks' },
  { id: 'dismissed', label: 'Dismissals' },
  { id: 'converted', label: 'Conversions' },
] as const;

export type Measure = (typeof MEASURES)[number]['id'];

export interface Sum {
  readonly decided: number;
  readonly clicked: number;
  readonly dismissed: number;
  readonly converted: number;
  /** Null where it is not known of a part. */
  readonly ignored: number | null;
}

const NONE: Sum = { decided: 0, clicked: 0, dismissed: 0, converted: 0, ignored: 0 };

function plus(sum: Sum, row: Counts): Sum {
  const ignored = row.ignored_inferred;
  return {
    decided: sum.decided + row.decided,
    clicked: sum.clicked + row.clicked,
    dismissed: sum.dismissed + row.dismissed,
    converted: sum.converted + row.converted,
    ignored: sum.ignored === null || ignored === null ? null : sum.ignored + ignored,
  };
}

/** Sums by a name, in the order in which the names came first. */
export function sumsBy(rows: readonly StatsRow[], name: (row: StatsRow) => string) {
  const sums = new Map<string, Sum>();
  for (const row of rows) sums.set(name(row), plus(sums.get(name(row)) ?? NONE, row));
  return sums;
}

export interface Course {
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly values: ReadonlyMap<string, readonly number[]>;
}

/** Of each name its course over the whole range: what has no row is 0. */
export function courses(
  { rows, from, to, by, tz }: Stats,
  name: (row: StatsRow) => string,
  measure: Measure,
): Course {
  const [first, last] = [Date.parse(from), Date.parse(to)];
  const isDays = by === 'day';
  const times = isDays ? daysOf(first, last, tz) : hoursOf(first, last);
  const point = isDays
    ? (at: number) => dateOf(at, tz)
    : (at: number) => String(Math.floor(at / 3_600_000));
  const places = new Map(times.map((time, index) => [point(time * 1000), index]));
  const values = new Map<string, number[]>();
  for (const row of rows) {
    const place = places.get(point(Date.parse(row.hour)));
    if (place === undefined) continue;
    const course = values.get(name(row)) ?? times.map(() => 0);
    course[place] = (course[place] ?? 0) + row[measure];
    values.set(name(row), course);
  }
  return { times, values };
}

/** Whether the last point of a chart is of an hour or day that goes on after the range. */
export function isCut({ to, by, tz }: Stats): boolean {
  const end = Date.parse(to);
  if (by === 'day') return dateOf(end, tz) === dateOf(end - 1, tz);
  return end % 3_600_000 !== 0;
}
