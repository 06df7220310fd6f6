// Local times of a zone and moments, with the hours that a clock change skips or repeats. Moments
// are milliseconds since 1970; local times are the same count as if the zone were UTC.

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

const formats = new Map<string, Intl.DateTimeFormat | null>();

function formatOf(zone: string): Intl.DateTimeFormat | null {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  let format: Intl.DateTimeFormat | null = null;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    // An unknown zone: told beside its field.
  }
  formats.set(zone, format);
  return format;
}

export function isZone(zone: string): boolean {
  return formatOf(zone) !== null;
}

/** How far the zone's clock is ahead of UTC; UTC for an unknown zone. */
export function offsetMs(zone: string, moment: number): number {
  const format = formatOf(zone);
  if (!format || zone === 'UTC') return 0;
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(moment)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  const local = Date.UTC(year, month - 1, day, hour, minute, second);
  return local - Math.floor(moment / 1000) * 1000;
}

export function toLocal(zone: string, moment: number): number {
  return moment + offsetMs(zone, moment);
}

/** The clock goes from `before` to `after` (both ahead of UTC) at a moment. */
export interface ClockChange {
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

/** Clock changes within [from, to), in order. A year takes some 400 questions to Intl. */
export function clockChanges(zone: string, from: number, to: number): ClockChange[] {
  const changes: ClockChange[] = [];
  if (!isZone(zone)) return changes;
  let low = from;
  let before = offsetMs(zone, low);
  while (low < to) {
    const high = Math.min(low + DAY_MS, to);
    const after = offsetMs(zone, high);
    if (after !== before) {
      let [left, right] = [low, high];
      while (right - left > 1000) {
        const middle = Math.floor((left + right) / 2000) * 1000;
        if (middle <= left) break;
        if (offsetMs(zone, middle) === before) left = middle;
        else right = middle;
      }
      if (right < to) changes.push({ at: right, before, after });
    }
    [low, before] = [high, after];
  }
  return changes;
}

/** What a local time is: a moment, and whether the clock skips it or shows it twice. */
export interface LocalMoment {
  readonly moment: number;
  readonly is: 'plain' | 'skipped' | 'twice';
}

/** The moment of a local time: the first of two, or as far behind the gap as it is inside it. */
export function fromLocal(zone: string, local: number): LocalMoment {
  const guesses = [local - offsetMs(zone, local - DAY_MS), local - offsetMs(zone, local + DAY_MS)];
  const fits = [...new Set(guesses)].filter((moment) => toLocal(zone, moment) === local);
  if (fits.length === 0) return { moment: guesses[0] ?? local, is: 'skipped' };
  return { moment: Math.min(...fits), is: fits.length > 1 ? 'twice' : 'plain' };
}

function two(count: number): string {
  return String(count).padStart(2, '0');
}

/** RFC 3339 with the offset that the zone has then: `2026-03-01T00:00:00+01:00`. */
export function rfc3339(zone: string, moment: number): string {
  const offset = offsetMs(zone, moment);
  const local = new Date(moment + offset).toISOString().slice(0, 19);
  if (zone === 'UTC') return `${local}Z`;
  const minutes = Math.abs(Math.round(offset / 60_000));
  const sign = offset < 0 ? '-' : '+';
  return `${local}${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** The moment of an RFC 3339 text with its offset; `undefined` if it is none. */
export function momentOf(text: unknown): number | undefined {
  const form = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
  if (typeof text !== 'string' || !form.test(text)) return undefined;
  const moment = Date.parse(text.replace(' ', 'T'));
  return Number.isNaN(moment) ? undefined : moment;
}

/** `2026-03-01T00:00`, as a field of date and time takes it. */
export function localField(zone: string, moment: number): string {
  return new Date(toLocal(zone, moment)).toISOString().slice(0, 16);
}

/** `02:00`. */
export function clockText(local: number): string {
  return new Date(local).toISOString().slice(11, 16);
}

/** `Sun 29 Mar 2026`. */
export function dayText(local: number): string {
  const text = new Date(local).toUTCString();
  return `${text.slice(0, 3)} ${Number(text.slice(5, 7))} ${text.slice(8, 16)}`;
}

/** `+02:00`. */
export function offsetText(offset: number): string {
  const minutes = Math.abs(Math.round(offset / 60_000));
  return `${offset < 0 ? '−' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
