// Durations as definitions have them: `7d`, `1h30m`, `never`; and as people say them.

export const UNITS = [
  { unit: 'w', ms: 604_800_000, one: 'week', many: 'weeks' },
  { unit: 'd', ms: 86_400_000, one: 'day', many: 'days' },
  { unit: 'h', ms: 3_600_000, one: 'hour', many: 'hours' },
  { unit: 'm', ms: 60_000, one: 'minute', many: 'minutes' },
  { unit: 's', ms: 1000, one: 'second', many: 'seconds' },
  { unit: 'ms', ms: 1, one: 'millisecond', many: 'milliseconds' },
] as const;

export type Unit = (typeof UNITS)[number]['unit'];

/** Milliseconds; `undefined` where it is no duration. `never` is none. */
export function durationMs(text: unknown): number | undefined {
  if (typeof text !== 'string' || !/^(\d+(ms|s|m|h|d|w))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d|w)/g)) {
    sum += Number(count) * (UNITS.find((known) => known.unit === unit)?.ms ?? 0);
  }
  return sum;
}

/** A duration as one count of the largest unit that it is whole in, or of its own unit. */
export function countAndUnit(text: string): { count: number; unit: Unit } | undefined {
  const single = /^(\d+)(ms|s|m|h|d|w)$/.exec(text);
  if (single) return { count: Number(single[1]), unit: single[2] as Unit };
  const ms = durationMs(text);
  if (ms === undefined) return undefined;
  const found = UNITS.find((known) => ms % known.ms === 0) ?? UNITS[5];
  return { count: ms / found.ms, unit: found.unit };
}

/** `7 days`, `1 hour 30 minutes`; what is no duration as it stands. */
export function durationWords(text: string): string {
  const parts = durationMs(text) === undefined ? [] : [...text.matchAll(/(\d+)(ms|s|m|h|d|w)/g)];
  if (parts.length === 0) return text;
  return parts
    .map(([, count, unit]) => {
      const known = UNITS.find((known) => known.unit === unit);
      return `${count} ${Number(count) === 1 ? known?.one : known?.many}`;
    })
    .join(' ');
}
