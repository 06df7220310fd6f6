// Hours and calendar days of a zone, as moments: those of a range in which nothing happened are
// points of a chart too.

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Seconds since 1970 of each hour that begins before `to`, from the one that `from` is in. */
export function hoursOf(from: number, to: number): number[] {
  const first = Math.floor(from / HOUR_MS) * HOUR_MS;
  const hours: number[] = [];
  for (let at = first; at < to; at += HOUR_MS) hours.push(at / 1000);
  return hours;
}

/** Seconds since 1970 of the beginning of each calendar day that begins before `to`. */
export function daysOf(from: number, to: number, zone: string): number[] {
  const days: number[] = [];
  let date = dateOf(from, zone);
  for (;;) {
    const at = startOf(date, zone);
    if (at >= to) return days;
    days.push(at / 1000);
    // Noon of the next date is on that date in UTC, whatever a clock change does.
    date = new Date(Date.parse(`${date}T12:00:00Z`) + DAY_MS).toISOString().slice(0, 10);
  }
}

/** The calendar date of a moment: `2026-11-30`. */
export function dateOf(at: number, zone: string): string {
  return partsOf(at, zone).slice(0, 10);
}

/** The first moment of a date; where the clock leaps over midnight, the first after it. */
export function startOf(date: string, zone: string): number {
  const midnight = Date.parse(`${date}T00:00:00Z`);
  // No zone is further from UTC than 26 hours in all; a day has one beginning among these.
  let [low, high] = [midnight - 15 * HOUR_MS, midnight + 15 * HOUR_MS];
  while (high - low > 1_000) {
    const middle = Math.floor((low + high) / 2_000) * 1_000;
    if (dateOf(middle, zone) < date) low = middle;
    else high = middle;
  }
  return high;
}

const FORMS = new Map<string, Intl.DateTimeFormat>();

/** `2026-11-30 17:31:02`, as clocks there show it. */
function partsOf(at: number, zone: string): string {
  let form = FORMS.get(zone);
  if (!form) {
    const options: Intl.DateTimeFormatOptions = {
      dateStyle: 'short',
      timeStyle: 'medium',
      timeZone: zone,
    };
    // The Swedish write dates as ISO 8601 does.
    form = new Intl.DateTimeFormat('sv', options);
    FORMS.set(zone, form);
  }
  return form.format(at);
}

/** Whether the browser knows a zone of this name. */
export function isZone(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
}

/** `2026-11-30T17:31`, as fields of date and time have it. */
export function fieldOf(at: number, zone: string): string {
  return partsOf(at, zone).replace(' ', 'T').slice(0, 16);
}

/** The moment that such a field means; null where it means none. */
export function momentOf(field: string, zone: string): number | null {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(field)) return null;
  const asUtc = Date.parse(`${field.slice(0, 16)}:00Z`);
  if (Number.isNaN(asUtc)) return null;
  // The offset there at about that time; once more, should the first guess be past a change.
  const offset = (at: number) => Date.parse(`${fieldOf(at, zone)}:00Z`) - at;
  const first = asUtc - offset(asUtc);
  return asUtc - offset(first);
}
