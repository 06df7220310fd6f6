import { expect, test } from 'vitest';
import { isPressing, standing, timeMs, TIMES } from './expiry';

test.each([
  ['12h', 43_200_000],
  ['1h30m', 5_400_000],
  ['8w', 4_838_400_000],
  ['1s', 1_000],
  ['3653d', 315_619_200_000],
])('%s is a time', (text, ms) => expect(timeMs(text)).toBe(ms));

test.each(['', '90', '1y', '-1d', '0s', '999ms', '3654d', '1 d', 'never', '1.5h'])(
  '“%s” is refused, as by the node',
  (text) => expect(timeMs(text)).toBeNull(),
);

test('what is offered is taken', () => {
  const offered = TIMES.map(({ value }) => value).filter((value) => value && value !== 'other');
  expect(offered.map(timeMs)).not.toContain(null);
});

test('a token is told of a week before it ends, and on every page in its last days', () => {
  const now = Date.parse('2026-12-01T00:00:00Z');
  const cases: [string | null, string, boolean][] = [
    [null, 'never', false],
    ['2026-12-09T00:00:00Z', 'later', false],
    ['2026-12-08T00:00:00Z', 'soon', false],
    ['2026-12-04T00:00:00Z', 'soon', true],
    ['2026-12-01T00:00:00Z', 'over', true],
  ];
  for (const [end, want, pressing] of cases) {
    expect([end, standing(end, now), isPressing(end, now)]).toEqual([end, want, pressing]);
  }
});
