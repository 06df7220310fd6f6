// Moments: how long ago, and when exactly, in which zone.
import { signal } from '@preact/signals';
import { moment, NOTHING, relative } from './format';

const CLOCK_MS = 15_000;

/** What time it is, a few seconds ago at most; all times on the page go by it. */
export const clock = signal(Date.now());
setInterval(() => {
  if (document.visibilityState === 'visible') clock.value = Date.now();
}, CLOCK_MS);
document.addEventListener('visibilitychange', () => {
  clock.value = Date.now();
});

interface TimeProps {
  /** RFC 3339, or milliseconds since 1970. */
  readonly at: string | number | null | undefined;
  readonly zone?: string;
  /** `relative` tells the exact moment to those who hear it or point at it. */
  readonly form?: 'both' | 'relative' | 'absolute';
  readonly seconds?: boolean;
}

export function Time({ at, zone, form = 'both', seconds = false }: TimeProps) {
  const ms = typeof at === 'string' ? Date.parse(at) : at;
  if (ms === null || ms === undefined || Number.isNaN(ms)) return <span>{NOTHING}</span>;
  const exact = moment(ms, zone, seconds);
  const dateTime = new Date(ms).toISOString();
  if (form === 'absolute') return <time dateTime={dateTime}>{exact}</time>;
  // Moments of this browser's own clock may lie ahead of the last tick.
  const ago = relative(ms, Math.max(clock.value, Math.min(Date.now(), ms)));
  if (form === 'relative') {
    return (
      <time dateTime={dateTime} title={exact}>
        {ago}
        <span class="hidden"> ({exact})</span>
      </time>
    );
  }
  return (
    <time dateTime={dateTime}>
      {ago}
      <span class="time-exact">, {exact}</span>
    </time>
  );
}
