import { expect, test } from 'vitest';
import { entryWords, heldWords } from './why';

const AT = '2026-12-01T04:10:00+01:00';

test.each([
  [
    'gap',
    { shown_at: AT, after_shown: '1d', outcome: 'dismissed', outcome_at: AT, after_dismissed: '7d' },
    `Shown at ${AT}: not again for 1 day; dismissed at ${AT}: not again for 7 days`,
  ],
  [
    'gap',
    { shown_at: AT, after_shown: '1d', outcome: 'clicked', outcome_at: AT, after_clicked: 'never' },
    `Shown at ${AT}: not again for 1 day; clicked at ${AT}: never again`,
  ],
  [
    'gap',
    { shown_at: AT, after_shown: '0s', outcome: 'ignored', outcome_inferred: true, after_ignored: '2h' },
    `Shown at ${AT}: not again for 0 seconds; ignored: not again for 2 hours`,
  ],
  ['gap', { shown_at: AT, after_shown: '1d', outcome: null }, `Shown at ${AT}: not again for 1 day`],
  [
    'cap',
    { caps: [{ index: 0, n: 2, per: '7d', shows: [AT, AT], opens_at: AT }] },
    `Shown at ${AT} and ${AT}; at most twice in any 7 days`,
  ],
  [
    'target',
    { rules: [{ attr: 'plan', op: 'eq', value: 'pro', got: null, state: 'absent' }] },
    'It is for users whose plan is “pro”; none is told of this one',
  ],
  [
    'target',
    {
      rules: [{ attr: 'n', op: 'in', value: [1, 2], got: 'x', state: 'other_type', negated: true }],
      rules_left_out: 3,
    },
    'It is not for users whose n is one of 1 or 2; this one’s is “x”, which can’t be compared, and 3 more',
  ],
  [
    'window',
    { tz: 'Europe/Berlin', local_time: 'tue 04:12', windows: [{ days: ['sat', 'sun'], from: '22:00', to: '04:00' }] },
    'It is Tue 04:12 in Europe/Berlin; it is for Sat and Sun 22:00 to 04:00 the next day',
  ],
  [
    'quiet',
    { last_shown_at: AT, quiet_time: '10m' },
    `A popup was shown at ${AT}; the next comes 10 minutes after it at the earliest`,
  ],
  [
    'day',
    { max_per_day: 1, shows: 1, tz: 'UTC', last_shown_at: AT },
    `They saw 1 popup today, the latest at ${AT}; a user may see 1 a day`,
  ],
  [
    'rollout',
    { rollout: 10, bucket: 47.5 },
    'It is for the first 10 % of users, and this one is at 47.5 %',
  ],
])('%s is told in words', (gate, facts, words) => {
  expect(heldWords({ gate, facts, why: 'the node’s words' })).toBe(words);
});

test('what has no words here keeps those of the node, without the moment beside it', () => {
  const why = `it is paused; this opens at ${AT}`;
  expect(heldWords({ gate: 'status', why, facts: { status: 'paused' } })).toBe('It is paused');
  const rule = { path: 'target.any', result: false };
  expect(heldWords({ gate: 'target', why: 'target.any has none', facts: { rules: [rule] } })).toBe(
    'Target.any has none',
  );
  expect(heldWords({ gate: 'newer', why })).toBe('It is paused');
});

test('entries of a timeline say what follows', () => {
  const entry = { kind: 'event', at: AT, popup: 'a', version: 1 } as const;
  const said = (action: string, why: string) => entryWords({ ...entry, action, why });
  expect(said('dismissed', 'it rests for 7d (after_dismissed)')).toBe('Not again for 7 days');
  expect(said('clicked', 'it does not return (after_clicked = "never")')).toBe('Never again');
  expect(said('converted', 'it was converted')).toBe('It was converted');
  expect(said('shown', 'x')).toBe('Their page says that it was on screen');
  expect(said('decided', 'version 1 passed every gate')).not.toContain('gate');
  expect(said('decided', 'y; it rests for 1d (after_shown)')).toMatch(/; not again for 1 day$/);
});
