import { expect, test } from 'vitest';
import { allZones } from './zones';

test('zones have the names of today, once each, and all are known', () => {
  const zones = allZones();
  for (const zone of ['Asia/Kolkata', 'Europe/Kyiv', 'America/Nuuk', 'Europe/Vienna'])
    expect(zones).toContain(zone);
  for (const zone of ['Asia/Calcutta', 'Europe/Kiev', 'Asia/Saigon'])
    expect(zones).not.toContain(zone);
  expect(zones[0]).toBe('UTC');
  expect(new Set(zones).size).toBe(zones.length);
  for (const timeZone of zones) expect(() => Intl.DateTimeFormat('en', { timeZone })).not.toThrow();
});
