import { expect, test } from 'vitest';
import {
  capWords,
  dayWords,
  durationWords,
  gapWords,
  ruleCount,
  scheduleWords,
  timeOf,
} from './in-words';

test('durations are told with their units, and what is none as it stands', () => {
  expect(durationWords('7d')).toBe('7 days');
  expect(durationWords('1h30m')).toBe('1 hour 30 minutes');
  expect(durationWords('500ms')).toBe('500 milliseconds');
  expect(durationWords('never')).toBe('never');
  expect(durationWords('7 days')).toBe('7 days');
});

test('gaps that are alike are one sentence', () => {
  expect(gapWords({ id: 'p' })).toEqual([
    'Once shown, not again for 24 hours',
    'Once dismissed, not again for 7 days',
    'Once clicked or converted, never again',
  ]);
  expect(gapWords({ id: 'p', after_shown: '0s' }).slice(0, 2)).toEqual([
    'Once shown, again at any time',
    'Once ignored for 5 minutes, not again for 24 hours',
  ]);
});

test('caps are told, and none are not', () => {
  expect(capWords({ id: 'p' })).toEqual([]);
  expect(capWords({ id: 'p', max_shows: 3, caps: [{ n: 1, per: '24h' }] })).toEqual([
    'At most 3 times in all',
    'At most once in any 24 hours',
  ]);
});

test('a schedule has its zone', () => {
  expect(scheduleWords({ id: 'p' })).toEqual(['Always']);
  const words = scheduleWords(
    {
      id: 'p',
      starts_at: '2026-03-01T00:00:00+01:00',
      windows: [{ days: ['sat', 'sun'], from: '22:00', to: '04:00' }],
      tz: 'Europe/Berlin',
    },
    'UTC',
  );
  expect(words).toEqual([
    'From 28 Feb 2026, 23:00 UTC on',
    'Sat and Sun 22:00 to 04:00 the next day, in Europe/Berlin',
  ]);
});

test('days in a row are told by their ends', () => {
  expect(dayWords(['fri', 'mon', 'tue', 'wed', 'thu'])).toBe('Mon to Fri');
  expect(dayWords(['mon', 'wed', 'fri'])).toBe('Mon, Wed and Fri');
  expect(dayWords(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])).toBe('Every day');
});

test('a time is over at its end, and ahead until its beginning', () => {
  const [starts_at, ends_at] = ['2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'];
  const at = (text: string) => timeOf({ id: 'p', starts_at, ends_at }, Date.parse(text));
  expect(at('2025-12-31T23:59:59Z')).toBe('ahead');
  expect(at('2026-01-01T00:00:00Z')).toBe(null);
  expect(at('2026-02-01T00:00:00Z')).toBe('over');
});

test('rules are counted however deep they are', () => {
  const rule = { attr: 'a', op: 'eq', value: 1 };
  expect(ruleCount(undefined)).toBe(0);
  expect(ruleCount(rule)).toBe(1);
  expect(ruleCount({ all: [rule, { any: [rule, { not: rule }] }] })).toBe(3);
});
