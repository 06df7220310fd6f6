// A text keeps what no form knows, whatever is edited; a path finds its place.
import { expect, test } from 'vitest';
import { fieldOf, find, lineOf, parseJson, pathOf, rangeOf, valueOf } from './json';
import { exactOf, laidOut, RawJson, withValue } from './text';

const TEXT = `{
  "id": "sale",
  "priority": 9223372036854775807,
  "caps": [{ "n": 17, "per": "24h" }],
  "content": { "title": "T\\u00fc", "mine": [1, 2.50, {"x": null}] }
}
`;

function node(text: string) {
  const { node, error } = parseJson(text);
  if (!node) throw new Error(error.message);
  return node;
}

test('a path finds its line, or the last thing that is there', () => {
  const root = node(TEXT);
  const line = (field: string) => lineOf(TEXT, rangeOf(root, pathOf(field)).start).line;
  expect(
    ['caps[0].n', 'caps[0].per', 'content.title', 'content.nothing', 'nothing', ''].map(line),
  ).toEqual([4, 4, 5, 5, 1, 1]);
  const { start, end } = rangeOf(root, pathOf('caps[0].n'));
  expect(TEXT.slice(start, end)).toBe('"n": 17');
});

test('fields and paths are each other', () => {
  for (const field of [
    'id',
    'caps[0].n',
    'target.all[1].not.value',
    'locales.de-AT.title',
    'variants[2]',
  ]) {
    expect(fieldOf(pathOf(field))).toBe(field);
  }
});

test('values are those of JSON.parse', () => {
  for (const text of [
    TEXT,
    '[]',
    '{}',
    ' [1e3, -0.5, true, false, null, "\\"\\\\/\\n"] ',
    '{"__proto__": {"a": 1}}',
  ]) {
    expect(JSON.stringify(valueOf(node(text)))).toBe(JSON.stringify(JSON.parse(text)));
  }
});

test.each([
  ['', 'ends where a value', 0],
  ['{"a": 1,}', 'no comma may stand before }', 7],
  ['{"a" 1}', 'expected : after "a"', 5],
  ['{"a": 1 "b": 2}', 'expected , or }', 8],
  ['{"a": yes}', 'yes is no value', 6],
  ['{"a": "x', 'no closing quote', 6],
  ['{"a": 1', 'ends before its }', 7],
  ['{"a": 1} x', 'nothing may follow', 9],
  ['{"a": 1, "a": 2}', '"a" is written twice', 9],
  ["{'a': 1}", 'a name in double quotes', 1],
  ['{"a": 01}', '01 is no value', 6],
])('%s is told: %s', (text, message, at) => {
  const { error } = parseJson(text);
  expect(error?.message).toContain(message);
  expect(error?.at).toBe(at);
});

test('what is no JSON for JSON.parse is none here, and the other way round', () => {
  const pieces = ['{', '}', '[', ']', ',', ':', '"a"', '1', '-', 'true', ' ', '"\\', '1e', '\n'];
  let seed = 7;
  for (let round = 0; round < 5_000; round += 1) {
    let text = '';
    for (let count = 0; count < 7; count += 1) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      text += pieces[(seed >> 8) % pieces.length];
    }
    let wanted = true;
    try {
      JSON.parse(text);
    } catch {
      wanted = false;
    }
    const { error } = parseJson(text);
    if (error?.message.includes('twice')) continue;
    expect([text, error === null]).toEqual([text, wanted]);
  }
});

test('an edit changes its value and no other character', () => {
  const edited = withValue(TEXT, ['caps', 0, 'n'], 2);
  expect(edited).toBe(TEXT.replace('17', '2'));
  expect(withValue(edited, ['caps', 0, 'n'], 17)).toBe(TEXT);
  expect(withValue(TEXT, ['priority'], new RawJson('-9223372036854775808'))).toContain(
    '-9223372036854775808,',
  );
});

test('members come and go; what no form knows stays', () => {
  const added = withValue(TEXT, ['content', 'text'], 'New');
  expect(added).toContain('"mine": [1, 2.50, {"x": null}], "text": "New" }');
  expect(withValue(added, ['content', 'text'], undefined)).toBe(TEXT);
  expect(withValue(TEXT, ['nothing', 'here'], undefined)).toBe(TEXT);
  expect(withValue('{}', ['target', 'all'], [{ attr: 'a' }])).toBe(
    '{\n  "target": {\n    "all": [\n      { "attr": "a" }\n    ]\n  }\n}',
  );
});

test('a new member of a definition stands where people look for it', () => {
  const made = withValue(TEXT, ['starts_at'], '2026-03-01T00:00:00Z');
  const keys = node(made).members.map(({ key }) => key);
  expect(keys).toEqual(['id', 'priority', 'starts_at', 'caps', 'content']);
});

test('any edit leaves JSON that has the value', () => {
  const paths = [['a'], ['a', 'b'], ['list', 0], ['list', 1], ['a', 'b', 0, 'c'], ['x y', '"']];
  const values = [1, 'text', [], {}, [1, 2], { q: { r: 's' } }, null, undefined, ['x'.repeat(90)]];
  let text = '{"list": [1], "keep": 12345678901234567890}';
  for (const value of [...values, ...values.toReversed()]) {
    for (const path of paths) {
      // What stands behind an item that goes takes its place.
      if (value === undefined && path.includes('list')) continue;
      text = withValue(text, path, value);
      const found = find(node(text), path);
      expect(found && JSON.stringify(valueOf(found))).toBe(JSON.stringify(value));
      expect(text).toContain('12345678901234567890');
    }
  }
});

test('laid out is the same JSON, and laid out again the same text', () => {
  const text = laidOut(
    '{"a":[{"days":["mon"],"from":"09:00"}],"content":{"title":"T"},"n":1.50,"e":{}}',
  );
  expect(text).toBe(
    '{\n  "a": [\n    {\n      "days": ["mon"],\n      "from": "09:00"\n    }\n  ],\n' +
      '  "content": {\n    "title": "T"\n  },\n  "n": 1.50,\n  "e": {}\n}\n',
  );
  expect(laidOut(text)).toBe(text);
});

test('what is copied keeps every digit', () => {
  const text =
    '{"content":{"big":12345678901234567890,"price":5.10,"n":7,"in":[1e2,{"__proto__":1.0}]}}';
  const content = exactOf(find(node(text), ['content'])!, text);
  const copied = withValue(text, ['locales', 'de'], content);
  expect(laidOut(copied)).toContain(
    '"big": 12345678901234567890,\n      "price": 5.10,\n      "n": 7',
  );
  expect(copied.replaceAll(/\s/g, '')).toContain('"in":[1e2,{"__proto__":1.0}]');
});
