// What holds popups back, in the words of who writes them.
import type { Tone } from '../../ui/chip';
import type { Candidate, Explanation } from './remembered';

/** Each gate: what it says of a popup, and what is to be known of it. */
const GATES: Readonly<Record<string, readonly [words: string, tone: Tone]>> = {
  status: ['Not live', 'plain'],
  schedule: ['Outside its dates', 'plain'],
  window: ['Outside its hours', 'plain'],
  placement: ['Another placement', 'plain'],
  target: ['Not targeted', 'warn'],
  rollout: ['Outside the rollout', 'warn'],
  max_shows: ['All shows used', 'warn'],
  gap: ['Resting', 'warn'],
  cap: ['Cap is full', 'warn'],
  quiet: ['Quiet time', 'warn'],
  day: ['Enough for today', 'warn'],
  session: ['Enough for this session', 'warn'],
};

/** Reasons for nothing, where it is no gate of a popup. */
const REASONS: Readonly<Record<string, string>> = {
  none: 'no live popup is for this placement',
  degraded: 'what they have seen is not known at the moment, and that holds popups back',
  status: 'no popup of this placement is live',
  schedule: 'the popups for this placement are outside their dates',
  window: 'the popups for this placement are outside their hours',
  target: 'no popup of this placement is for such a user',
  rollout: 'they are outside the rollout',
  max_shows: 'they have had all shows of what is there',
  gap: 'what they have seen is not due again yet',
  cap: 'a cap is full',
  quiet: 'they have just been shown a popup, and quiet time holds all others back',
  day: 'they have had as many popups today as one may have',
  session: 'they have had as many popups in this session as one may have',
};

export function verdict(candidate: Candidate, shown: string | null): readonly [string, Tone] {
  if (candidate.id === shown) return ['Would be shown', 'good'];
  if (candidate.gate === null) return ['Passes, but comes after it', 'accent'];
  return GATES[candidate.gate] ?? [candidate.gate, 'plain'];
}

export function reasonWords(reason: string | null): string {
  return REASONS[reason ?? 'none'] ?? `the gate ${reason}`;
}

/** Those about which nothing can be said of the user: they are not live, or for elsewhere. */
export function isElsewhere({ gate }: Candidate): boolean {
  return gate === 'status' || gate === 'placement';
}

/** Of what holds popups back here, the first that time alone ends. */
export function nextToOpen(candidates: readonly Candidate[]): Candidate | undefined {
  const isDue = (one: Candidate) => one.gate !== null && one.opens_at && !isElsewhere(one);
  const at = (one: Candidate) => Date.parse(one.opens_at ?? '');
  return candidates.filter(isDue).sort((a, b) => at(a) - at(b))[0];
}

const RANK: Readonly<Record<string, number>> = { target: 2, rollout: 2, window: 2, schedule: 3 };

/** What is shown first, then what passes, then what holds the user back, then all else. */
export function inOrder({ candidates, popup }: Explanation): Candidate[] {
  const rank = (one: Candidate) => {
    if (one.id === popup) return -1;
    if (one.gate === null) return 0;
    return isElsewhere(one) ? 4 : (RANK[one.gate] ?? 1);
  };
  // Stable: within a rank they keep the order in which they are asked.
  return [...candidates].sort((a, b) => rank(a) - rank(b));
}

/** Placements and attributes that popups ask for, to be offered where one is typed. */
export function known(candidates: readonly Candidate[]) {
  const placements = new Set<string>(['home']);
  const attributes = new Set<string>();
  for (const { facts } of candidates) {
    for (const name of list(facts?.['placement']))
      if (typeof name === 'string') placements.add(name);
    for (const rule of list(facts?.['rules'])) {
      const name = (rule as { attr?: unknown }).attr;
      if (typeof name === 'string') attributes.add(name);
    }
  }
  return { placements: [...placements].sort(), attributes: [...attributes].sort() };
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
