// Until when nobody needs to ask, for each (user, placement, session, attributes): over page loads
// and tabs, since all read the same storage. A user's name is not kept, only a hash of all four.

import { record, type Kept } from './kept.js';

/** Entries that are kept; the first to end goes. */
const ENTRIES_MAX = 32;
/** However long the node says, it is asked again after this, in seconds. */
export const WAIT_MAX_S = 600;

export interface Gaps {
  /** Seconds that are left; 0 for none. */
  left(hash: string, maxWait: number): number;
  set(hash: string, seconds: number): void;
}

export function makeGaps(kept: Kept): Gaps {
  const NAME = 'next';
  const entries = () => {
    const known = Object.entries(record(kept.read(NAME))) as [string, number][];
    // What lies farther ahead than it could is of a clock that was set back.
    return known.filter(
      ([, until]) => until > Date.now() && until <= Date.now() + WAIT_MAX_S * 1e3,
    );
  };
  return {
    left(hash, maxWait) {
      const found = entries().find(([known]) => known === hash);
      return found ? Math.min(Math.ceil((found[1] - Date.now()) / 1e3), maxWait) : 0;
    },
    set(hash, seconds) {
      const others = entries().filter(([known]) => known !== hash);
      if (seconds > 0) others.push([hash, Date.now() + Math.min(seconds, WAIT_MAX_S) * 1e3]);
      others.sort((a, b) => b[1] - a[1]);
      kept.write(NAME, Object.fromEntries(others.slice(0, ENTRIES_MAX)));
    },
  };
}

/** A short name for values: 53 bits of them. */
export function hashOf(values: unknown): string {
  const text = JSON.stringify(values);
  let [high, low] = [0xdeadbeef, 0x41c6ce57];
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    high = Math.imul(high ^ unit, 0x9e3779b1);
    low = Math.imul(low ^ unit, 0x5f356495);
  }
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  return (0x200000 * (0x1fffff & low) * 2 + (high >>> 0)).toString(36);
}
