// Windows by the clock on the wall: against a walk over every minute, in zones whose clocks change.
import { expect, test } from 'vitest';
import { DAYS, dayRows, nextOpening, openIntervals, readWindows, type Window } from './schedule';
import { clockChanges, DAY_MS, fromLocal, momentOf, rfc3339, toLocal } from './zones';

const utc = (text: string) => Date.parse(text);

test.each([
  ['Europe/Berlin', '2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z'],
  ['America/New_York', '2026-03-08T07:00:00Z', '2026-11-01T06:00:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00:00Z', '2026-10-03T15:30:00Z'],
])('%s changes its clock twice in 2026', (zone, first, second) => {
  const changes = clockChanges(zone, utc('2026-01-01T00:00:00Z'), utc('2027-01-01T00:00:00Z'));
  expect(changes.map(({ at }) => new Date(at).toISOString().replace('.000', ''))).toEqual([
    first,
    second,
  ]);
});

test('a skipped local time is told, one that is there twice is its first', () => {
  const local = (text: string) => Date.parse(`${text}Z`);
  const skipped = fromLocal('Europe/Berlin', local('2026-03-29T02:30:00'));
  expect([skipped.is, rfc3339('Europe/Berlin', skipped.moment)]).toEqual([
    'skipped',
    '2026-03-29T03:30:00+02:00',
  ]);
  const twice = fromLocal('Europe/Berlin', local('2026-10-25T02:30:00'));
  expect([twice.is, rfc3339('Europe/Berlin', twice.moment)]).toEqual([
    'twice',
    '2026-10-25T02:30:00+02:00',
  ]);
  const plain = fromLocal('Asia/Kolkata', local('2026-10-25T02:30:00'));
  expect(rfc3339('Asia/Kolkata', plain.moment)).toBe('2026-10-25T02:30:00+05:30');
  expect(momentOf('2026-10-25T02:30:00+05:30')).toBe(plain.moment);
  expect([momentOf('2026-10-25'), momentOf(7), rfc3339('UTC', 0)]).toEqual([
    undefined,
    undefined,
    '1970-01-01T00:00:00Z',
  ]);
});

/** The node's rule, for one moment. */
function isInside(windows: readonly Window[], zone: string, moment: number): boolean {
  const local = toLocal(zone, moment);
  const day = Math.floor(local / DAY_MS);
  const inWindow = ({ days, from, to }: Window, of: number) => {
    const name = DAYS[(of + 3) % 7];
    const time = local - of * DAY_MS;
    return (days.length === 0 || days.includes(name ?? 'mon')) && time >= from && time < to;
  };
  return windows.some((window) => inWindow(window, day) || inWindow(window, day - 1));
}

test.each([
  ['Europe/Berlin', '2026-03-27T00:00:00Z'],
  ['Europe/Berlin', '2026-10-23T00:00:00Z'],
  ['Australia/Lord_Howe', '2026-10-02T00:00:00Z'],
  ['UTC', '2026-01-01T00:00:00Z'],
])('intervals in %s from %s are those of every 10 minutes', (zone, start) => {
  const windows = readWindows([
    { days: ['sat', 'sun'], from: '22:00', to: '02:30' },
    { days: ['mon'], from: '09:00', to: '24:00' },
    { from: '02:10', to: '02:40' },
    { days: ['fri'], from: '08:00', to: '08:00' },
  ]);
  const within = { from: utc(start), to: utc(start) + 5 * DAY_MS };
  const intervals = openIntervals(windows, zone, within);
  for (let at = within.from; at < within.to; at += 600_000) {
    const isOpen = intervals.some(({ from, to }) => at >= from && at < to);
    expect([new Date(at).toISOString(), isOpen]).toEqual([
      new Date(at).toISOString(),
      isInside(windows, zone, at),
    ]);
  }
});

test('rows have the hour that is skipped, and the one that is there twice', () => {
  const schedule = {
    windows: readWindows([{ from: '01:00', to: '04:00' }]),
    zone: 'Europe/Berlin',
    startsAt: undefined,
    endsAt: undefined,
  };
  const hours = (rows: ReturnType<typeof dayRows>, part: 'open' | 'skipped' | 'twice') =>
    rows.map((row) => row[part].map(({ from, to }) => [from * 24, to * 24]));
  const spring = dayRows(schedule, utc('2026-03-28T12:00:00Z'), 2);
  expect(hours(spring, 'open')).toEqual([
    [[1, 4]],
    [
      [1, 2],
      [3, 4],
    ],
  ]);
  expect(hours(spring, 'skipped')).toEqual([[], [[2, 3]]]);
  const autumn = dayRows(schedule, utc('2026-10-25T12:00:00Z'), 1);
  expect(hours(autumn, 'open')).toEqual([
    [
      [1, 3],
      [2, 4],
    ],
  ]);
  expect(hours(autumn, 'twice')).toEqual([[[2, 3]]]);
});

test('rows end where the popup does; the next opening is found, or said to be none', () => {
  const run = { startsAt: utc('2026-03-02T10:00:00Z'), endsAt: utc('2026-03-03T12:00:00Z') };
  const rows = dayRows({ windows: [], zone: 'UTC', ...run }, utc('2026-03-01T00:00:00Z'), 4);
  expect(rows.map(({ open }) => open.map(({ from, to }) => [from * 24, to * 24]))).toEqual([
    [],
    [[10, 24]],
    [[0, 12]],
    [],
  ]);
  const windows = readWindows([{ days: ['wed'], from: '09:00', to: '10:00' }]);
  expect(nextOpening({ windows, zone: 'UTC', ...run }, 0)).toBeUndefined();
  const open = { windows, zone: 'UTC', startsAt: undefined, endsAt: undefined };
  expect(nextOpening(open, utc('2026-03-02T10:00:00Z'))).toBe(utc('2026-03-04T09:00:00Z'));
});

test('windows that can not be read are left out', () => {
  expect(
    readWindows([
      { from: '9:00', to: '10:00' },
      { from: '24:00', to: '01:00' },
      null,
      7,
      { from: '01:00', to: '24:00' },
    ]),
  ).toEqual([{ days: [], from: 3_600_000, to: DAY_MS }]);
  expect(readWindows('x')).toEqual([]);
});
