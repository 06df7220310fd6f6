// What a definition says, in the words of somebody who has not read the documentation.
import type { Definition, Window } from '../../api/popups';
import { moment, ZONE } from '../../ui/format';

/** What holds where a definition says nothing. */
export const DEFAULTS = {
  after_shown: '24h',
  after_ignored: '24h',
  after_dismissed: '7d',
  after_clicked: 'never',
  after_converted: 'never',
  ignore_after: '5m',
} as const;

const UNITS: Record<string, readonly [string, string]> = {
  ms: ['millisecond', 'milliseconds'],
  s: ['second', 'seconds'],
  m: ['minute', 'minutes'],
  h: ['hour', 'hours'],
  d: ['day', 'days'],
  w: ['week', 'weeks'],
};

/** `1h30m` as `1 hour 30 minutes`; what is no duration stays as it is. */
export function durationWords(text: string): string {
  const parts = [...text.matchAll(/(\d+)(ms|[smhdw])/g)];
  if (parts.map(([part]) => part).join('') !== text || parts.length === 0) return text;
  return parts
    .map(([, number = '', unit = '']) => {
      const [one, more] = UNITS[unit] ?? [unit, unit];
      return `${number} ${Number(number) === 1 ? one : more}`;
    })
    .join(' ');
}

/** `0s` is no gap at all. */
function isNothing(text: string): boolean {
  return /^(0+(ms|[smhdw]))+$/.test(text);
}

/** When the same user may see it again, a sentence for each case that differs from the others. */
export function gapWords(definition: Definition): string[] {
  const of = (name: keyof typeof DEFAULTS) => definition[name] ?? DEFAULTS[name];
  const cases: (readonly [string, string])[] = [
    ['shown', of('after_shown')],
    ['dismissed', of('after_dismissed')],
    ['clicked', of('after_clicked')],
    ['converted', of('after_converted')],
  ];
  // Who does nothing waits as after any show, unless it is said otherwise.
  if (of('after_ignored') !== of('after_shown')) {
    const ignored = `ignored for ${durationWords(of('ignore_after'))}`;
    cases.splice(1, 0, [ignored, of('after_ignored')]);
  }
  const byGap = new Map<string, string[]>();
  for (const [what, gap] of cases) byGap.set(gap, [...(byGap.get(gap) ?? []), what]);
  return [...byGap].map(([gap, once]) => {
    const when = listWords(once, 'or');
    if (gap === 'never') return `Once ${when}, never again`;
    if (isNothing(gap)) return `Once ${when}, again at any time`;
    return `Once ${when}, not again for ${durationWords(gap)}`;
  });
}

/** How often a user may see it in all. */
export function capWords({ max_shows = 0, caps = [] }: Definition): string[] {
  const words = caps.map(({ n, per }) => `At most ${times(n)} in any ${durationWords(per)}`);
  return max_shows > 0 ? [`At most ${times(max_shows)} in all`, ...words] : words;
}

export function times(n: number): string {
  return n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`;
}

/** From when until when, and at what times of the day. */
export function scheduleWords(definition: Definition, zone = ZONE): string[] {
  const { starts_at: starts, ends_at: ends, windows, tz } = definition;
  const at = (text: string) => moment(Date.parse(text), zone);
  const span =
    starts && ends
      ? `From ${at(starts)} until ${at(ends)}`
      : starts
        ? `From ${at(starts)} on`
        : ends
          ? `Until ${at(ends)}`
          : windows?.length
            ? ''
            : 'Always';
  const place = tz === 'user' ? 'the user’s time zone' : (tz ?? 'UTC');
  const words = (windows ?? []).map((window) => `${windowWords(window)}, in ${place}`);
  return span ? [span, ...words] : words;
}

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/** `Sat and Sun 22:00 to 04:00 the next day` */
export function windowWords({ days = DAYS, from = '00:00', to = '24:00' }: Window): string {
  const hours = `${from} to ${to}${to <= from ? ' the next day' : ''}`;
  return `${dayWords(days)} ${hours}`;
}

/** Days in a row are told by the first and the last. */
export function dayWords(days: readonly string[]): string {
  const on = DAYS.filter((day) => days.includes(day));
  if (on.length === 7) return 'Every day';
  const name = (day: string) => `${day[0]?.toUpperCase() ?? ''}${day.slice(1)}`;
  const first = DAYS.indexOf(on[0] ?? 'mon');
  const isRun = on.length > 2 && on.every((day, index) => DAYS.indexOf(day) === first + index);
  if (isRun) return `${name(on[0] ?? '')} to ${name(on[on.length - 1] ?? '')}`;
  return listWords(on.map(name), 'and');
}

/** `a, b and c` */
export function listWords(words: readonly string[], joint: 'and' | 'or'): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} ${joint} ${words[words.length - 1]}`;
}

/** Whether its time is over, or still to come; null within it. */
export function timeOf(
  { starts_at: starts, ends_at: ends }: Definition,
  now: number,
): 'ahead' | 'over' | null {
  if (ends && Date.parse(ends) <= now) return 'over';
  return starts && Date.parse(starts) > now ? 'ahead' : null;
}

/** Rules of a target, however nested. */
export function ruleCount(target: unknown): number {
  if (!target || typeof target !== 'object') return 0;
  const { all, any, not } = target as { all?: unknown[]; any?: unknown[]; not?: unknown };
  const parts = all ?? any;
  if (parts) return parts.reduce<number>((sum, part) => sum + ruleCount(part), 0);
  return not ? ruleCount(not) : 1;
}
