// What is wrong with a definition, as far as it can be told without asking: so that somebody who
// types sees it at once, and where the node can't be asked. The node's word is the one that counts.
import { durationMs } from './duration';
import { readSchedule, nextOpening } from './schedule';
import { DEPTH_MAX, RULES_MAX, sizeOf } from './target';
import { isZone, momentOf } from './zones';

export interface Problem {
  /** As messages write it: `caps[0].n`; empty for the popup as a whole. */
  readonly field: string;
  readonly message: string;
  readonly kind: 'error' | 'warning';
}

type Members = Record<string, unknown>;

const DURATIONS = [
  'after_shown',
  'after_ignored',
  'after_dismissed',
  'after_clicked',
  'after_converted',
  'ignore_after',
];

/** Bytes of a content, as the node counts them. */
export const CONTENT_BYTES_MAX = 32 * 1024;

export function hints(definition: Members): Problem[] {
  return [
    ...identity(definition),
    ...numbers(definition),
    ...durations(definition),
    ...schedule(definition),
    ...target(definition),
    ...variants(definition),
  ];
}

function error(field: string, message: string): Problem {
  return { field, message, kind: 'error' };
}

function identity(definition: Members): Problem[] {
  const { id, placement } = definition;
  const found: Problem[] = [];
  if (id !== undefined && !(typeof id === 'string' && /^[a-z0-9_-]{1,64}$/.test(id))) {
    found.push(error('id', 'expected 1 to 64 of a to z, 0 to 9, - and _'));
  }
  if (Array.isArray(placement) && (placement.length < 1 || placement.length > 8)) {
    found.push(error('placement', `has ${placement.length} values; expected 1 to 8`));
  }
  return found;
}

const RANGES = [
  {
    member: 'priority',
    low: -9_223_372_036_854_775_808,
    high: 9_223_372_036_854_775_807,
    whole: true,
  },
  { member: 'max_shows', low: 0, high: 4_294_967_295, whole: true },
  { member: 'rollout', low: 0, high: 100, whole: false },
] as const;

function numbers(definition: Members): Problem[] {
  const found = RANGES.flatMap(({ member, low, high, whole }) =>
    inRange(definition[member], member, { low, high, whole }),
  );
  const caps = definition['caps'];
  if (!Array.isArray(caps)) return found;
  if (caps.length > 10) found.push(error('caps', `has ${caps.length} values; expected at most 10`));
  return found.concat(
    caps.flatMap((cap: unknown, index) => {
      const { n, per } = (cap ?? {}) as Members;
      const field = `caps[${index}].per`;
      const isSpan = (durationMs(per) ?? 0) > 0;
      const spans = isSpan
        ? []
        : [error(field, 'expected a duration longer than 0, such as "24h"')];
      return [...inRange(n, `caps[${index}].n`, { low: 1, high: 16, whole: true }), ...spans];
    }),
  );
}

function inRange(
  value: unknown,
  field: string,
  range: { low: number; high: number; whole: boolean },
): Problem[] {
  if (value === undefined) return [];
  const { low, high, whole } = range;
  const fits = typeof value === 'number' && value >= low && value <= high;
  if (fits && (!whole || Number.isInteger(value))) return [];
  return [error(field, `expected ${whole ? 'a whole number' : 'a number'} from ${low} to ${high}`)];
}

function durations(definition: Members): Problem[] {
  return DURATIONS.flatMap((member) => {
    const value = definition[member];
    if (value === undefined || durationMs(value) !== undefined) return [];
    if (value === 'never' && member !== 'ignore_after') return [];
    return [error(member, 'expected a duration such as "24h" or "1h30m" (ms s m h d w)')];
  });
}

function schedule(definition: Members): Problem[] {
  const { tz, starts_at, ends_at, windows } = definition;
  const found: Problem[] = [];
  for (const [field, value] of Object.entries({ starts_at, ends_at })) {
    if (value !== undefined && momentOf(value) === undefined) {
      found.push(
        error(field, 'expected a date and time with an offset: 2026-03-01T00:00:00+01:00'),
      );
    }
  }
  if (tz !== undefined && tz !== 'user' && !(typeof tz === 'string' && isZone(tz))) {
    found.push(error('tz', 'is not a time zone: expected one such as Europe/Berlin, or user'));
  }
  const [from, to] = [momentOf(starts_at), momentOf(ends_at)];
  if (from !== undefined && to !== undefined && to <= from) {
    found.push(error('ends_at', 'is not after starts_at'));
  } else if (
    from !== undefined &&
    to !== undefined &&
    Array.isArray(windows) &&
    windows.length > 0
  ) {
    const planned = readSchedule(definition);
    if (planned.windows.length > 0 && nextOpening(planned, from) === undefined) {
      const message = 'none opens between starts_at and ends_at';
      found.push({ field: 'windows', message, kind: 'warning' });
    }
  }
  return found;
}

function target(definition: Members): Problem[] {
  const { rules, depth } = sizeOf(definition['target']);
  const found: Problem[] = [];
  if (rules > RULES_MAX)
    found.push(error('target', `has ${rules} rules; expected at most ${RULES_MAX}`));
  if (depth > DEPTH_MAX)
    found.push(error('target', `is ${depth} levels deep; expected at most ${DEPTH_MAX}`));
  return found;
}

function variants(definition: Members): Problem[] {
  const { variants, content } = definition;
  if (!Array.isArray(variants)) return size(content, 'content');
  const keys = variants.map((item: unknown) => ((item ?? {}) as Members)['key']);
  return variants.flatMap((item: unknown, index) => {
    const variant = (item ?? {}) as Members;
    const field = `variants[${index}]`;
    const isTwice = keys.indexOf(variant['key']) < index;
    return [
      ...(isTwice ? [error(`${field}.key`, 'is already used by another variant')] : []),
      ...inRange(variant['weight'], `${field}.weight`, { low: 0, high: 1_000_000, whole: true }),
      ...size(variant['content'], `${field}.content`),
    ];
  });
}

function size(content: unknown, field: string): Problem[] {
  if (content === undefined) return [];
  const bytes = new TextEncoder().encode(JSON.stringify(content)).length;
  if (bytes <= CONTENT_BYTES_MAX) return [];
  return [error(field, `has ${bytes} bytes; expected at most ${CONTENT_BYTES_MAX}`)];
}
