// What differs between two definitions: by member, and by line of their texts.

export interface MemberChange {
  /** As messages write it: `content.title`. */
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

export type Line = { readonly kind: 'same' | 'gone' | 'new'; readonly text: string };

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function equal(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => equal(item, b[index]));
  }
  if (isObject(a) && isObject(b)) {
    const [keys, others] = [Object.keys(a), Object.keys(b)];
    return keys.length === others.length && keys.every((key) => key in b && equal(a[key], b[key]));
  }
  return Object.is(a, b);
}

/** The members that differ; objects are gone into, lists of one length item by item. */
export function memberChanges(before: unknown, after: unknown, field = ''): MemberChange[] {
  if (equal(before, after)) return [];
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) =>
      memberChanges(before[key], after[key], field ? `${field}.${key}` : key),
    );
  }
  const areLists = Array.isArray(before) && Array.isArray(after) && before.length === after.length;
  if (areLists && before.every(isObject)) {
    return before.flatMap((item, index) => memberChanges(item, after[index], `${field}[${index}]`));
  }
  return [{ field, before, after }];
}

/** Beyond so many lines on a side a text is told as replaced: the table would be its square. */
const LINES_MAX = 2000;

/** The lines of both texts in one list, by their longest common part. */
export function lineChanges(before: string, after: string): Line[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail))
    tail += 1;
  const same = (text: string): Line => ({ kind: 'same', text });
  const middle = between(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return [...a.slice(0, head).map(same), ...middle, ...a.slice(a.length - tail).map(same)];
}

function between(a: string[], b: string[]): Line[] {
  const gone = (text: string): Line => ({ kind: 'gone', text });
  const made = (text: string): Line => ({ kind: 'new', text });
  if (a.length > LINES_MAX || b.length > LINES_MAX) return [...a.map(gone), ...b.map(made)];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  const at = (i: number, j: number) => longest[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] =
        a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [x, y] = [a[i], b[j]];
    if (x !== undefined && x === y) {
      lines.push({ kind: 'same', text: x });
      [i, j] = [i + 1, j + 1];
    } else if (x !== undefined && (y === undefined || at(i + 1, j) >= at(i, j + 1))) {
      lines.push(gone(x));
      i += 1;
    } else {
      lines.push(made(y ?? ''));
      j += 1;
    }
  }
  return lines;
}

/** A member that two people may have changed from one base. */
export interface Conflict {
  readonly path: readonly string[];
  readonly base: unknown;
  readonly theirs: unknown;
  readonly yours: unknown;
  /** Who changed it; `both` has to be chosen. */
  readonly by: 'theirs' | 'yours' | 'both';
}

/**
 * Members that differ from the base on a side, with those that both changed in another way. Objects
 * that all three have are gone into, so that two who change two fields of a content both keep theirs.
 */
export function conflicts(
  base: unknown,
  theirs: unknown,
  yours: unknown,
  path: readonly string[] = [],
): Conflict[] {
  const sides = [base, theirs, yours];
  if (path.length === 0 || sides.every(isObject)) {
    const [b, t, y] = sides.map((side) => (isObject(side) ? side : {}));
    const members = [...new Set([b, t, y].flatMap((side) => Object.keys(side ?? {})))];
    return members.flatMap((name) => conflicts(b?.[name], t?.[name], y?.[name], [...path, name]));
  }
  const [byThem, byYou] = [!equal(base, theirs), !equal(base, yours)];
  if ((!byThem && !byYou) || equal(theirs, yours)) return [];
  return [
    { path, base, theirs, yours, by: byThem && byYou ? 'both' : byThem ? 'theirs' : 'yours' },
  ];
}
