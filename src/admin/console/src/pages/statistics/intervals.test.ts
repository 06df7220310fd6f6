import { expect, test } from 'vitest';
import { isOpen, lift, wilson } from './intervals';

// R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine
// 17 (1998), table I, method 3.
test.each([
  [81, 263, 0.2553, 0.3662],
  [15, 148, 0.0624, 0.1605],
  [0, 20, 0, 0.1611],
  [1, 29, 0.0061, 0.1718],
])('the interval of %i of %i is as published', (successes, all, low, high) => {
  const found = wilson(successes, all);
  expect(found?.low).toBeCloseTo(low, 4);
  expect(found?.high).toBeCloseTo(high, 4);
});

test('an interval has the proportion in it, and stays between 0 and 1', () => {
  for (const all of [1, 2, 7, 100, 1_000_000]) {
    for (const successes of [0, 1, Math.floor(all / 2), all]) {
      const { low, high } = wilson(successes, all)!;
      expect(low).toBeGreaterThanOrEqual(0);
      expect(low).toBeLessThanOrEqual(successes / all);
      expect(high).toBeGreaterThanOrEqual(successes / all);
      expect(high).toBeLessThanOrEqual(1);
    }
  }
  expect(wilson(0, 0)).toBe(null);
  // Events may outnumber shows where the shows lie before the range.
  expect(wilson(3, 2)).toBe(null);
});

// A. Agresti, Categorical Data Analysis, 2nd edition, 3.1.4: the Physicians' Health Study on
// aspirin, heart attacks of those with a placebo relative to those with aspirin.
test('a lift is as published', () => {
  const found = lift({ successes: 189, all: 11_034 }, { successes: 104, all: 11_037 });
  if (found.kind !== 'known') throw new Error('too few');
  expect(found.value).toBeCloseTo(0.82, 2);
  expect(found.interval.low).toBeCloseTo(0.43, 2);
  expect(found.interval.high).toBeCloseTo(1.31, 2);
  expect(isOpen(found.interval)).toBe(false);
});

test('a lift over itself is none, and leaves it open', () => {
  const same = { successes: 50, all: 400 };
  const found = lift(same, same);
  if (found.kind !== 'known') throw new Error('too few');
  expect(found.value).toBe(0);
  expect(isOpen(found.interval)).toBe(true);
});

test('few counts say nothing', () => {
  expect(lift({ successes: 4, all: 400 }, { successes: 50, all: 400 }).kind).toBe('too few');
  expect(lift({ successes: 50, all: 400 }, { successes: 0, all: 0 }).kind).toBe('too few');
  expect(lift({ successes: 398, all: 400 }, { successes: 50, all: 400 }).kind).toBe('too few');
});
