import { expect, test } from 'vitest';
import type { Stats, StatsRow } from '../../api/stats';
import { courses, isCut, sumsBy } from './sums';

function row(hour: string, more: Partial<StatsRow>): StatsRow {
  const counts = { decided: 0, shown: 0, ignored: 0, dismissed: 0, clicked: 0, converted: 0 };
  const rest = { popup: 'p', variant: null, local: hour, span: 'hour' as const, answered: 0 };
  return { ...counts, ...rest, ignored_inferred: 0, hour, ...more };
}

function stats(more: Partial<Stats>): Stats {
  const range = { from: '2026-11-30T10:30:00Z', to: '2026-11-30T13:10:00Z' };
  const told = { popup: 'p', by: 'hour' as const, tz: 'UTC', warnings: [], ...range };
  return { ...told, totals: row('', {}), rows: [], ...more };
}

test('what has no row is 0, and what is left out of the range is nowhere', () => {
  const rows = [
    row('2026-11-30T11:00:00Z', { decided: 3, variant: 'a' }),
    row('2026-11-30T13:00:00Z', { decided: 2, variant: 'b' }),
    row('2026-11-30T14:00:00Z', { decided: 9, variant: 'b' }),
  ];
  const course = courses(stats({ rows }), ({ variant }) => variant ?? '', 'decided');
  expect(course.times.length).toBe(4);
  expect(course.values.get('a')).toEqual([0, 3, 0, 0]);
  expect(course.values.get('b')).toEqual([0, 0, 0, 2]);
});

test('days are those of the zone', () => {
  const told = {
    from: '2026-03-27T23:00:00Z',
    to: '2026-03-30T12:00:00Z',
    by: 'day' as const,
    tz: 'Europe/Berlin',
  };
  const rows = [row('2026-03-29T22:00:00Z', { decided: 5, span: 'day' })];
  expect(courses(stats({ ...told, rows }), () => 'p', 'decided').values.get('p')).toEqual([
    0, 0, 5,
  ]);
});

test('what is not known of a part is not known of all', () => {
  const rows = [
    row('2026-11-30T11:00:00Z', { decided: 3, ignored_inferred: 1 }),
    row('2026-11-30T12:00:00Z', { decided: 2, ignored_inferred: null }),
  ];
  expect(sumsBy(rows, () => 'p').get('p')).toMatchObject({ decided: 5, ignored: null });
});

test('the last hour or day is told to be cut, unless it is whole', () => {
  expect(isCut(stats({}))).toBe(true);
  expect(isCut(stats({ to: '2026-11-30T13:00:00Z' }))).toBe(false);
  expect(isCut(stats({ by: 'day', to: '2026-11-30T13:00:00Z' }))).toBe(true);
  expect(isCut(stats({ by: 'day', to: '2026-12-01T00:00:00Z' }))).toBe(false);
});
