// Targets, words, contents, comparisons, hints, and what is kept of a closed tab.
import { expect, test } from 'vitest';
import { conflicts, lineChanges, memberChanges } from './compare';
import { contentFor, contentPath, freeKey, shares, splitIntoVariants, variantsOf } from './content';
import { countAndUnit, durationMs, durationWords } from './duration';
import { hints } from './hints';
import { forget, keep, leftOf, KEPT_MAX, type Shelf } from './kept';
import {
  asGroup,
  attributesOf,
  changed,
  kindOf,
  moved,
  newRule,
  OPERATORS,
  sizeOf,
  targetWords,
  unwrapped,
  withOperator,
  withPart,
} from './target';
import { freeId, idFrom, TEMPLATES } from './templates';
import { capWords, frequencyWords, gapWords } from './words';

const TARGET = {
  all: [
    { attr: 'platform', op: 'in', value: ['ios', 'android'] },
    {
      any: [
        { attr: 'version', op: 'semver_gte', value: '5.2.0' },
        { attr: 'beta', op: 'eq', value: true },
      ],
    },
    { not: { attr: 'country', op: 'eq', value: 'DE', note: 'unknown member' } },
  ],
};

test('a tree in words, its size, its attributes', () => {
  expect(targetWords(TARGET)).toBe(
    'platform is one of ios, android and (version is a version from 5.2.0 or beta is true) and not (country is DE)',
  );
  expect(sizeOf(TARGET)).toEqual({ rules: 7, depth: 3 });
  expect(attributesOf(TARGET)).toEqual(['platform', 'version', 'beta', 'country']);
});

test('nodes are added, changed, moved and taken out; the tree before stays', () => {
  const before = JSON.stringify(TARGET);
  const added = withPart(TARGET, ['all', 1], newRule());
  expect(sizeOf(added).rules).toBe(8);
  const gone = changed(TARGET, ['all', 0], () => undefined);
  expect(targetWords(gone)).not.toContain('platform');
  expect(JSON.stringify(moved(TARGET, ['all', 0], 1))).toContain('[{"any"');
  expect(moved(TARGET, ['all', 0], -1)).toEqual(TARGET);
  const renamed = changed(TARGET, ['all', 2, 'not'], (rule) => ({
    ...(rule as object),
    attr: 'land',
  }));
  expect(JSON.stringify(renamed)).toContain(
    '"attr":"land","op":"eq","value":"DE","note":"unknown member"',
  );
  expect(sizeOf(changed(TARGET, ['all', 2, 'not'], () => undefined)).rules).toBe(5);
  expect(JSON.stringify(TARGET)).toBe(before);
});

test('groups become others and go, and lose no rule', () => {
  expect(asGroup(TARGET, 'any')).toEqual({ any: TARGET.all });
  expect(asGroup(newRule(), 'not')).toEqual({ not: newRule() });
  expect(asGroup({ not: newRule() }, 'all')).toEqual({ all: [newRule()] });
  expect(unwrapped({ all: [newRule()] })).toEqual(newRule());
  expect(unwrapped(TARGET)).toEqual(TARGET);
  expect(['x', null, {}, { all: [], any: [] }, { all: [] }].map(kindOf)).toEqual([
    'unknown',
    'unknown',
    'unknown',
    'unknown',
    'all',
  ]);
});

test('each operator gets a value that it takes, from whatever was there', () => {
  const takes = {
    any: /string|number|boolean/,
    list: /object/,
    boolean: /boolean/,
    ordered: /string|number/,
    text: /string/,
    version: /string/,
  };
  for (const { op, takes: kind } of OPERATORS) {
    for (const value of ['a', '5', 7, true, ['x', 'y'], [], undefined]) {
      const rule = withOperator({ attr: 'a', op: 'eq', value, mine: 1 }, op);
      expect([op, value, typeof rule['value']]).toEqual([
        op,
        value,
        expect.stringMatching(takes[kind]),
      ]);
      expect(rule['mine']).toBe(1);
    }
  }
  expect(withOperator({ attr: 'a', op: 'eq', value: '5' }, 'gte')['value']).toBe(5);
});

test.each([
  ['24h', 86_400_000, '24 hours'],
  ['1h30m', 5_400_000, '1 hour 30 minutes'],
  ['1w', 604_800_000, '1 week'],
  ['0s', 0, '0 seconds'],
  ['never', undefined, 'never'],
  ['5', undefined, '5'],
  ['', undefined, ''],
  ['500ms', 500, '500 milliseconds'],
])('%s is %s ms: %s', (text, ms, words) => {
  expect([durationMs(text), durationWords(text)]).toEqual([ms, words]);
});

test('a duration is one count and unit, as it is written where it can be', () => {
  expect(['24h', '1h30m', '1d12h', 'x'].map(countAndUnit)).toEqual([
    { count: 24, unit: 'h' },
    { count: 90, unit: 'm' },
    { count: 36, unit: 'h' },
    undefined,
  ]);
});

test('gaps and caps in words', () => {
  expect(gapWords('a dismissal', '7d')).toBe('after a dismissal not for 7 days');
  expect(gapWords('a click', 'never')).toBe('after a click never again');
  expect(gapWords('a show', '0s')).toBe('after a show again at once');
  expect([1, 2, 3].map((n) => capWords({ n, per: '24h' }))).toEqual([
    'at most once in 24 hours',
    'at most twice in 24 hours',
    'at most 3 times in 24 hours',
  ]);
  expect(frequencyWords({ max_shows: 3, caps: [{ n: 1, per: '1d' }] })[0]).toBe(
    'A user sees it at most 3 times in all, at most once in 1 day.',
  );
  expect(frequencyWords({})[1]).toContain(
    'after a dismissal not for 7 days; after a click never again',
  );
});

test('contents by variant and locale', () => {
  const plain = { content: { title: 'T' }, locales: { de: { title: 'D' }, pt_BR: { title: 'P' } } };
  const [only] = variantsOf(plain);
  expect(
    ['de-AT', 'DE', 'fr', 'pt-br', 'pt', ''].map((locale) => contentFor(only, locale)['title']),
  ).toEqual(['D', 'D', 'T', 'P', 'T', 'T']);
  expect(contentPath(plain, 0, 'de')).toEqual(['locales', 'de']);
  const variants = splitIntoVariants(plain);
  expect(contentPath({ variants }, 1, null)).toEqual(['variants', 1, 'content']);
  const both = variantsOf({ variants });
  expect([both.map(({ key }) => key), shares(both), freeKey(both)]).toEqual([
    ['a', 'b'],
    ['50 %', '50 %'],
    'c',
  ]);
  expect(
    variantsOf({ variants: [7, { weight: 'x' }] }).map(({ key, weight }) => [key, weight]),
  ).toEqual([
    ['#1', 1],
    ['#2', 1],
  ]);
});

test('what differs, by member and by line', () => {
  const [a, b] = [
    { id: 'p', content: { title: 'A', n: 1 }, caps: [{ n: 1 }] },
    { id: 'p', content: { title: 'B', n: 1 }, caps: [{ n: 2 }], tz: 'UTC' },
  ];
  expect(memberChanges(a, b).map(({ field }) => field)).toEqual([
    'content.title',
    'caps[0].n',
    'tz',
  ]);
  expect(memberChanges(a, a)).toEqual([]);
  const lines = lineChanges('a\nb\nc\nd', 'a\nx\nc\nd\ne');
  expect(lines.map(({ kind, text }) => kind[0] + text)).toEqual([
    'sa',
    'gb',
    'nx',
    'sc',
    'sd',
    'ne',
  ]);
  const rebuilt = (kind: string) =>
    lines
      .filter((line) => line.kind !== kind)
      .map(({ text }) => text)
      .join('\n');
  expect([rebuilt('new'), rebuilt('gone')]).toEqual(['a\nb\nc\nd', 'a\nx\nc\nd\ne']);
});

test('two who change one base: what only one changed is theirs, the rest is chosen', () => {
  const found = conflicts(
    { a: 1, b: 1, c: 1, d: 1, e: 1, content: { title: 'x', text: 'x', deep: { n: 1 } }, list: [1] },
    { a: 2, b: 1, c: 2, d: 3, e: 1, content: { title: 'y', text: 'x', deep: { n: 2 } }, list: [2] },
    { a: 1, b: 2, c: 3, d: 3, content: { title: 'x', text: 'z', deep: { n: 3 } }, list: [1, 1] },
  );
  expect(found.map(({ path, by }) => [path.join('.'), by])).toEqual([
    ['a', 'theirs'],
    ['b', 'yours'],
    ['c', 'both'],
    ['e', 'yours'],
    ['content.title', 'theirs'],
    ['content.text', 'yours'],
    ['content.deep.n', 'both'],
    ['list', 'both'],
  ]);
  expect(conflicts(null, { a: 1 }, { a: 2 }).map(({ by }) => by)).toEqual(['both']);
});

test('hints tell the field', () => {
  const bad = {
    id: 'No',
    placement: [],
    max_shows: -1,
    rollout: 101,
    caps: [{ n: 17, per: 'x' }],
    after_shown: 'soon',
    ignore_after: 'never',
    starts_at: 'x',
    ends_at: '2026-03-01T00:00:00+01:00',
    tz: 'Moon/Base',
    variants: [
      { key: 'a', weight: -1 },
      { key: 'a', content: { t: 'x'.repeat(40_000) } },
    ],
  };
  expect(hints(bad).map(({ field }) => field)).toEqual([
    'id',
    'placement',
    'max_shows',
    'rollout',
    'caps[0].n',
    'caps[0].per',
    'after_shown',
    'ignore_after',
    'starts_at',
    'tz',
    'variants[0].weight',
    'variants[1].key',
    'variants[1].content',
  ]);
  const never = {
    starts_at: '2026-03-02T00:00:00Z',
    ends_at: '2026-03-03T00:00:00Z',
    windows: [{ days: ['fri'], from: '09:00', to: '10:00' }],
  };
  expect(hints(never).map(({ field, kind }) => [field, kind])).toEqual([['windows', 'warning']]);
  for (const { definition } of TEMPLATES) expect(hints(definition)).toEqual([]);
});

test('ids from titles, and free ones', async () => {
  expect([idFrom('Frühlings-Angebote 2026!'), idFrom('***')]).toEqual([
    'fruhlings-angebote-2026',
    '',
  ]);
  expect(await freeId('welcome', async (id) => ['welcome', 'welcome-2'].includes(id))).toBe(
    'welcome-3',
  );
});

function shelf(room: number): Shelf {
  const map = new Map<string, string>();
  return {
    getItem: (key) => map.get(key) ?? null,
    removeItem: (key) => void map.delete(key),
    key: (index) => [...map.keys()][index] ?? null,
    get length() {
      return map.size;
    },
    setItem(key, value) {
      const size = [...map.entries()]
        .filter(([other]) => other !== key)
        .reduce((sum, [, text]) => sum + text.length, value.length);
      if (size > room) throw new Error('full');
      map.set(key, value);
    },
  };
}

const at = (id: string, editor = 'e', node = 'n') => ({ node, id, editor });
const leftText = (texts: Shelf, id: string) =>
  leftOf(texts, at(id, 'mine')).map(({ kept }) => kept.text);

test('a closed tab keeps its text; the shelf is bounded, the oldest goes', () => {
  const texts = shelf(Infinity);
  texts.setItem('other', 'stays');
  const kept = (at: number) => ({ text: `t${at}`, at, revision: null, base: 0, loaded: '' });
  for (let n = 1; n <= KEPT_MAX + 3; n += 1) expect(keep(texts, at(`p${n}`), kept(n))).toBe(true);
  expect([texts.length, leftText(texts, 'p3'), leftText(texts, 'p4')]).toEqual([
    KEPT_MAX + 1,
    [],
    ['t4'],
  ]);
  expect(leftOf(texts, at('p4', 'mine', 'other-node'))).toEqual([]);
  forget(texts, at('p4'));
  expect(leftText(texts, 'p4')).toEqual([]);
  const small = shelf(420);
  const long = (n: number) => ({ ...kept(n), text: 'x'.repeat(90) });
  for (let n = 1; n < 9; n += 1) expect(keep(small, at(`p${n}`), long(n))).toBe(true);
  expect(leftOf(small, at('p8', 'mine'))[0]?.kept.at).toBe(8);
  expect(keep(small, at('large'), { ...kept(1), text: 'x'.repeat(500) })).toBe(false);
  expect(keep(texts, at('large'), { ...kept(1), text: 'x'.repeat(2_600_000) })).toBe(false);
});

test('no editor writes over what another has left', () => {
  const texts = shelf(Infinity);
  const kept = (text: string, at: number) => ({ text, at, revision: null, base: 0, loaded: '' });
  keep(texts, at('p', 'a'), kept('of a', 1));
  keep(texts, at('p', 'b'), kept('of b', 2));
  keep(texts, at('p', 'mine'), kept('mine', 3));
  keep(texts, at('p-2', 'c'), kept('of another popup', 4));
  expect(leftText(texts, 'p')).toEqual(['of b', 'of a']);
  const [newest] = leftOf(texts, at('p', 'mine'));
  forget(texts, newest!.place);
  expect(leftText(texts, 'p')).toEqual(['of a']);
});
