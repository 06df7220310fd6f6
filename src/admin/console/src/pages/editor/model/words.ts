// How often a popup is shown, in the words of somebody who never saw the definition.
import { durationWords } from './duration';

/** The gaps of a definition: member, default, and what they come after. */
export const GAPS = [
  { member: 'after_shown', fallback: '24h', after: 'a show' },
  { member: 'after_ignored', fallback: '24h', after: 'being ignored' },
  { member: 'after_dismissed', fallback: '7d', after: 'a dismissal' },
  { member: 'after_clicked', fallback: 'never', after: 'a click' },
  { member: 'after_converted', fallback: 'never', after: 'a conversion' },
] as const;

/** `after a dismissal not for 7 days`, `after a click never again`. */
export function gapWords(after: string, gap: string): string {
  if (gap === 'never') return `after ${after} never again`;
  if (/^0+(ms|s|m|h|d|w)$/.test(gap)) return `after ${after} again at once`;
  return `after ${after} not for ${durationWords(gap)}`;
}

/** `at most once in 24 hours`. */
export function capWords(cap: unknown): string {
  const { n, per } = (cap ?? {}) as { n?: unknown; per?: unknown };
  return `at most ${times(n)} in ${typeof per === 'string' ? durationWords(per) : '…'}`;
}

function times(count: unknown): string {
  if (count === 1) return 'once';
  if (count === 2) return 'twice';
  return `${typeof count === 'number' ? count : '…'} times`;
}

type Members = Record<string, unknown>;

function gapOf(definition: Members, member: string, fallback: string): string {
  const set = definition[member];
  return typeof set === 'string' ? set : fallback;
}

/** Limits and gaps as sentences, the ones that hold longest last. */
export function frequencyWords(definition: Members): string[] {
  const limits: string[] = [];
  const most = definition['max_shows'];
  if (typeof most === 'number' && most > 0) limits.push(`at most ${times(most)} in all`);
  const caps = Array.isArray(definition['caps']) ? definition['caps'] : [];
  limits.push(...caps.map(capWords));
  const gaps = GAPS.map(({ member, fallback, after }) =>
    gapWords(after, gapOf(definition, member, fallback)),
  );
  const first =
    limits.length > 0
      ? `A user sees it ${limits.join(', ')}.`
      : 'A user may see it any number of times.';
  return [first, `Then: ${gaps.join('; ')}.`];
}
