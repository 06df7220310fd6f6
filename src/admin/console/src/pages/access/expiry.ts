// Until when a token lets in: how that is chosen, and when it is told of.

/** For how long a new token can let in; the first is what the node does if nothing is said. */
export const TIMES = [
  { value: '', label: 'Until it is revoked' },
  { value: '7d', label: '7 days' },
  { value: '30d', label: '30 days' },
  { value: '90d', label: '90 days' },
  { value: '365d', label: '1 year' },
  { value: 'other', label: 'Another time' },
] as const;

export const WRONG_TIME = 'Type a time from 1s to 3653d, such as 12h, 45d or 8w.';

const DAY_MS = 86_400_000;
/** A token that ends within this is told of: there is time to put another in its place. */
const SOON_MS = 7 * DAY_MS;
/** Who is signed in with it is told on every page within this. */
const SOON_HERE_MS = 3 * DAY_MS;
const TIME_MAX_MS = 3653 * DAY_MS;

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: DAY_MS,
  w: 7 * DAY_MS,
};

/** How long `1h30m` is; null where the node would refuse it. */
export function timeMs(text: string): number | null {
  if (!/^(\d+(ms|[smhdw]))+$/.test(text)) return null;
  const parts = [...text.matchAll(/(\d+)(ms|[smhdw])/g)];
  const all = parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS_MS[unit ?? ''] ?? 0), 0);
  return all >= 1_000 && all <= TIME_MAX_MS ? all : null;
}

export type Standing = 'never' | 'later' | 'soon' | 'over';

/** How a token stands that lets in until `end`. */
export function standing(end: string | null | undefined, now: number): Standing {
  if (!end) return 'never';
  const left = Date.parse(end) - now;
  if (left <= 0) return 'over';
  return left <= SOON_MS ? 'soon' : 'later';
}

/** Whether who is signed in with it must be told wherever they are. */
export function isPressing(end: string | null | undefined, now: number): boolean {
  return Boolean(end) && Date.parse(end ?? '') - now <= SOON_HERE_MS;
}
