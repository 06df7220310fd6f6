import { expect, test } from 'vitest';
import { bytes, count, duration, many, moment, percent, perSecond, relative, share } from './format';

/** As they are read: a space that breaks no line is a space. */
const read = (text: string) => text.replaceAll('\u00a0', ' ');

test('figures have their units, and what is not known is no 0', () => {
  expect(count(12_480)).toBe('12,480');
  expect(count(null)).toBe('–');
  expect(read(share(1, 3))).toBe('33.3 %');
  expect(share(0, 0)).toBe('–');
  expect(read(percent(0.0721))).toBe('7.21 %');
  expect(read(perSecond(0))).toBe('0 /s');
  expect(read(perSecond(1234.5))).toBe('1,235 /s');
  expect(read(bytes(1536))).toBe('1.5 KiB');
  expect(many(1, 'popup')).toBe('1 popup');
  expect(many(10_000, 'popup')).toBe('10,000 popups');
});

test('durations are told by their two largest units', () => {
  expect(duration(0)).toBe('0 s');
  expect(duration(65)).toBe('1 min 5 s');
  expect(duration(90_061)).toBe('1 d 1 h');
});

test('moments are told from now, and exactly in a zone', () => {
  const now = Date.parse('2026-11-30T12:00:00Z');
  expect(relative(now - 30_000, now)).toBe('just now');
  expect(relative(now - 180_000, now)).toBe('3 minutes ago');
  expect(relative(now + 172_800_000, now)).toBe('in 2 days');
  expect(relative(now + 172_799_000, now)).toBe('in 47 hours');
  expect(relative(now - 90_000_000, now)).toBe('25 hours ago');
  expect(relative(now + 45 * 86_400_000, now)).toBe('in 45 days');
  expect(moment(now, 'Europe/Berlin')).toBe('30 Nov 2026, 13:00 CET');
  expect(moment(now, 'Nowhere/At_All')).toBe('30 Nov 2026, 12:00 UTC');
});
