import { expect, test } from 'vitest';
import { dateOf, daysOf, fieldOf, hoursOf, isZone, momentOf, startOf } from './calendar';

const at = (text: string) => Date.parse(text);

test('each hour is there, the present one too', () => {
  const hours = hoursOf(at('2026-11-30T10:20:00Z'), at('2026-11-30T13:01:00Z'));
  expect(hours.map((hour) => new Date(hour * 1000).toISOString().slice(11, 16))).toEqual([
    '10:00',
    '11:00',
    '12:00',
    '13:00',
  ]);
});

test('days have 23 and 25 hours where the clock changes', () => {
  const spring = daysOf(at('2026-03-28T12:00:00Z'), at('2026-03-31T00:00:00Z'), 'Europe/Berlin');
  expect(spring.map((day) => new Date(day * 1000).toISOString())).toEqual([
    '2026-03-27T23:00:00.000Z',
    '2026-03-28T23:00:00.000Z',
    '2026-03-29T22:00:00.000Z',
    '2026-03-30T22:00:00.000Z',
  ]);
  const autumn = daysOf(at('2026-10-24T22:00:00Z'), at('2026-10-26T12:00:00Z'), 'Europe/Berlin');
  expect((autumn[1] ?? 0) - (autumn[0] ?? 0)).toBe(25 * 3600);
});

test('a day begins where clocks begin it, whatever they leap over', () => {
  // In Beirut the clock goes from 00:00 to 01:00 at once.
  expect(startOf('2026-03-29', 'Asia/Beirut')).toBe(at('2026-03-28T22:00:00Z'));
  expect(startOf('2026-11-30', 'Asia/Kolkata')).toBe(at('2026-11-29T18:30:00Z'));
  expect(startOf('2026-11-30', 'Pacific/Kiritimati')).toBe(at('2026-11-29T10:00:00Z'));
  expect(dateOf(at('2026-11-30T23:30:00Z'), 'Europe/Berlin')).toBe('2026-12-01');
});

test('fields of date and time mean moments of their zone', () => {
  const field = fieldOf(at('2026-07-01T10:00:00Z'), 'Europe/Berlin');
  expect(field).toBe('2026-07-01T12:00');
  expect(momentOf(field, 'Europe/Berlin')).toBe(at('2026-07-01T10:00:00Z'));
  expect(momentOf('2026-03-29T04:00', 'Europe/Berlin')).toBe(at('2026-03-29T02:00:00Z'));
  expect(momentOf('', 'UTC')).toBe(null);
});

test('zones are known or not', () => {
  expect(isZone('Europe/Berlin')).toBe(true);
  expect(isZone('Europe/Nowhere')).toBe(false);
});
