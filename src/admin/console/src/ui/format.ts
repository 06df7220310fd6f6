// Numbers and durations in words. Each has its unit, and 0 of 0 is no 0 %.
import { zoneName } from './zones';

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const ONE = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const TWO = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });

/** Between a figure and its unit: no line ends there. */
const JOINT = '\u00a0';

/** What stands where there is no figure. */
export const NOTHING = '–';

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : WHOLE.format(value);
}

/** `3.2 %`: so many of all; nothing where there are none. */
export function share(part: number | null | undefined, all: number | null | undefined): string {
  if (part === null || part === undefined || !all) return NOTHING;
  return percent(part / all);
}

/** A proportion from 0 to 1 as per cent. */
export function percent(proportion: number | null | undefined): string {
  if (proportion === null || proportion === undefined || !Number.isFinite(proportion)) {
    return NOTHING;
  }
  const value = proportion * 100;
  return `${(Math.abs(value) < 10 ? TWO : ONE).format(value)}${JOINT}%`;
}

/** `3.4 /s` */
export function perSecond(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  const form = value < 1 ? TWO : value < 100 ? ONE : WHOLE;
  return `${form.format(value)}${JOINT}/s`;
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [left, unit] = [value, 0];
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${ONE.format(left)}${JOINT}${units[unit]}`;
}

/** `1 shard`, `3 shards` */
export function many(value: number, one: string, more = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : more}`;
}

const SPANS: readonly (readonly [string, number])[] = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

/** `3 h 5 min`: the two largest units. */
export function duration(seconds: number): string {
  let left = Math.max(0, Math.round(seconds));
  const told: string[] = [];
  for (const [unit, size] of SPANS) {
    const whole = Math.floor(left / size);
    if (whole > 0) told.push(`${whole} ${unit}`);
    left -= whole * size;
    if (told.length === 2) break;
  }
  return told.join(' ') || '0 s';
}

const RELATIVE = new Intl.RelativeTimeFormat('en');
/** Each unit with how many of it there are at least: one day may be nearly two, 30 hours are not. */
const STEPS: readonly (readonly [Intl.RelativeTimeFormatUnit, number, number])[] = [
  ['year', 31_557_600, 2],
  ['month', 2_629_800, 3],
  ['day', 86_400, 2],
  ['hour', 3_600, 1],
  ['minute', 60, 1],
];

/** `3 minutes ago`, `in 2 days`; less than a minute is `just now`, or `in 40 s`. */
export function relative(at: number, now: number): string {
  const seconds = (at - now) / 1000;
  for (const [unit, size, least] of STEPS) {
    if (Math.abs(seconds) >= least * size) return RELATIVE.format(Math.trunc(seconds / size), unit);
  }
  return seconds >= 1 ? `in ${Math.round(seconds)} s` : 'just now';
}

/** The zone of this browser, by which moments are told where nothing else is said. */
export const ZONE = zoneName(Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC');

const FORMS = new Map<string, Intl.DateTimeFormat>();

/** `30 Nov 2026, 17:31 UTC`; an unknown zone is told in UTC. */
export function moment(at: number, zone = ZONE, seconds = false): string {
  const key = `${zone} ${seconds}`;
  let form = FORMS.get(key);
  if (!form) {
    form = dateForm(zone, seconds) ?? dateForm('UTC', seconds)!;
    FORMS.set(key, form);
  }
  return form.format(at);
}

function dateForm(timeZone: string, seconds: boolean): Intl.DateTimeFormat | null {
  const options: Intl.DateTimeFormatOptions = {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    timeZoneName: 'short',
    timeZone,
  };
  if (seconds) options.second = '2-digit';
  try {
    return new Intl.DateTimeFormat('en-GB', options);
  } catch {
    return null;
  }
}
