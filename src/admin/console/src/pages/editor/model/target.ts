// Targets as trees: what an operator takes, and a tree with a node added, moved, wrapped or taken
// out. Trees are never changed in place. What a form does not know of a node stays in it.
import type { JsonPath } from './json';
import { RawJson } from './text';

export type Rule = Record<string, unknown>;
export type RuleKind = 'all' | 'any' | 'not' | 'attr' | 'unknown';
export type ValueKind = 'text' | 'number' | 'boolean';

/** What an operator's value is: one of any kind, a list, a yes or no, a number, or a text. */
export interface Operator {
  readonly op: string;
  readonly words: string;
  readonly takes: 'any' | 'list' | 'boolean' | 'ordered' | 'text' | 'version';
}

export const OPERATORS: readonly Operator[] = [
  { op: 'eq', words: 'is', takes: 'any' },
  { op: 'ne', words: 'is not', takes: 'any' },
  { op: 'in', words: 'is one of', takes: 'list' },
  { op: 'not_in', words: 'is none of', takes: 'list' },
  { op: 'lt', words: 'is less than', takes: 'ordered' },
  { op: 'lte', words: 'is at most', takes: 'ordered' },
  { op: 'gt', words: 'is more than', takes: 'ordered' },
  { op: 'gte', words: 'is at least', takes: 'ordered' },
  { op: 'exists', words: 'is present', takes: 'boolean' },
  { op: 'contains', words: 'contains', takes: 'any' },
  { op: 'starts_with', words: 'starts with', takes: 'text' },
  { op: 'ends_with', words: 'ends with', takes: 'text' },
  { op: 'matches', words: 'matches the pattern', takes: 'text' },
  { op: 'semver_lt', words: 'is a version before', takes: 'version' },
  { op: 'semver_lte', words: 'is a version up to', takes: 'version' },
  { op: 'semver_gt', words: 'is a version after', takes: 'version' },
  { op: 'semver_gte', words: 'is a version from', takes: 'version' },
];

export const RULES_MAX = 64;
export const DEPTH_MAX = 8;

export function operatorOf(op: unknown): Operator | undefined {
  return OPERATORS.find((known) => known.op === op);
}

export function kindOf(rule: unknown): RuleKind {
  if (typeof rule !== 'object' || rule === null) return 'unknown';
  const kinds = (['all', 'any', 'not'] as const).filter((kind) => kind in rule);
  if (kinds.length === 1 && !('attr' in rule)) return kinds[0] ?? 'unknown';
  return kinds.length === 0 && 'attr' in rule ? 'attr' : 'unknown';
}

export function parts(rule: unknown): unknown[] {
  const kind = kindOf(rule);
  if (kind !== 'all' && kind !== 'any') return [];
  const list = (rule as Rule)[kind];
  return Array.isArray(list) ? list : [];
}

export function valueKind(value: unknown): ValueKind {
  const one = Array.isArray(value) ? (value as unknown[])[0] : value;
  if (typeof one === 'number' || one instanceof RawJson) return 'number';
  return typeof one === 'boolean' ? 'boolean' : 'text';
}

/** A value as another kind, as far as it says the same. */
export function asKind(value: unknown, kind: ValueKind): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => asKind(one, kind));
  if (kind === 'text') return value === undefined || value === null ? '' : String(value);
  if (kind === 'boolean') return value === true || value === 'true';
  if (value instanceof RawJson) return value;
  const number = Number(value);
  return String(value).trim() !== '' && Number.isFinite(number) ? number : 0;
}

/** A rule with another operator, and a value that it takes. */
export function withOperator(rule: Rule, op: string): Rule {
  const takes = operatorOf(op)?.takes ?? 'any';
  const value = rule['value'];
  const one = Array.isArray(value) ? ((value as unknown[])[0] ?? '') : value;
  const ordered = typeof one === 'boolean' ? 0 : (one ?? 0);
  const made = {
    any: one ?? '',
    list: Array.isArray(value) ? value : one === '' || one === undefined ? [] : [one],
    boolean: typeof one === 'boolean' ? one : true,
    ordered: valueKind(ordered) === 'text' && isNumberText(ordered) ? Number(ordered) : ordered,
    text: typeof one === 'boolean' ? '' : asKind(one, 'text'),
    version: typeof one === 'boolean' ? '' : asKind(one, 'text'),
  }[takes];
  return { ...rule, op, value: made };
}

function isNumberText(value: unknown): boolean {
  return typeof value === 'string' && /^-?(0|[1-9]\d*)(\.\d+)?$/.test(value);
}

export function newRule(): Rule {
  return { attr: '', op: 'eq', value: '' };
}

export function newGroup(kind: 'all' | 'any' | 'not'): Rule {
  return kind === 'not' ? { not: newRule() } : { [kind]: [newRule()] };
}

/** A tree with the node at a path changed; the path is within the target, `undefined` takes it out. */
export function changed(
  rule: unknown,
  path: JsonPath,
  change: (rule: unknown) => unknown,
): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return change(rule);
  if (Array.isArray(rule)) {
    return rule.flatMap((item: unknown, index) => {
      if (index !== step) return [item];
      const made = changed(item, rest, change);
      return made === undefined ? [] : [made];
    });
  }
  const made = changed((rule as Rule)[step], rest, change);
  // A negation of nothing is nothing.
  if (made === undefined && rest.length === 0 && step === 'not') return undefined;
  return { ...(rule as Rule), [step]: made };
}

/** A group with one more part. */
export function withPart(rule: unknown, path: JsonPath, part: Rule): unknown {
  return changed(rule, path, (group) => {
    const kind = kindOf(group);
    if (kind !== 'all' && kind !== 'any') return group;
    return { ...(group as Rule), [kind]: [...parts(group), part] };
  });
}

/** A group of the other kind with the same parts; a rule in a group of its own. */
export function asGroup(rule: unknown, kind: 'all' | 'any' | 'not'): Rule {
  const now = kindOf(rule);
  if (now === kind) return rule as Rule;
  if (kind === 'not') return { not: rule };
  if (now === 'all' || now === 'any') return { [kind]: parts(rule) };
  return { [kind]: [now === 'not' ? (rule as Rule)['not'] : rule] };
}

/** Takes a group away and leaves what it held, where that is one node. */
export function unwrapped(rule: unknown): unknown {
  const kind = kindOf(rule);
  if (kind === 'not') return (rule as Rule)['not'];
  const [only, ...others] = parts(rule);
  return others.length === 0 && only !== undefined ? only : rule;
}

/** A part one place up (-1) or down (1) in its group. */
export function moved(rule: unknown, path: JsonPath, by: -1 | 1): unknown {
  const index = path.at(-1);
  if (typeof index !== 'number') return rule;
  return changed(rule, path.slice(0, -1), (list) => {
    if (!Array.isArray(list) || list[index + by] === undefined) return list;
    const made = [...(list as unknown[])];
    [made[index], made[index + by]] = [made[index + by], made[index]];
    return made;
  });
}

/** How many nodes a tree has, and how deep it is. */
export function sizeOf(rule: unknown): { rules: number; depth: number } {
  if (rule === undefined) return { rules: 0, depth: 0 };
  const inner = kindOf(rule) === 'not' ? [(rule as Rule)['not']] : parts(rule);
  const sizes = inner.map(sizeOf);
  return {
    rules: 1 + sizes.reduce((sum, { rules }) => sum + rules, 0),
    depth: 1 + Math.max(0, ...sizes.map(({ depth }) => depth)),
  };
}

/** Names of attributes that a tree asks for, each once. */
export function attributesOf(rule: unknown): string[] {
  const kind = kindOf(rule);
  if (kind === 'attr') {
    const { attr } = rule as { attr?: unknown };
    return typeof attr === 'string' && attr ? [attr] : [];
  }
  const inner = kind === 'not' ? [(rule as Rule)['not']] : parts(rule);
  return [...new Set(inner.flatMap(attributesOf))];
}

/** A target in words, for people: `platform is one of ios, android and not (country is DE)`. */
export function targetWords(rule: unknown): string {
  const kind = kindOf(rule);
  if (kind === 'attr') {
    const { attr, op, value } = rule as { attr?: unknown; op?: unknown; value?: unknown };
    if (op === 'exists')
      return `${String(attr)} ${value === false ? 'is not present' : 'is present'}`;
    const list = Array.isArray(value) ? value.map(String).join(', ') : String(value);
    return `${String(attr)} ${operatorOf(op)?.words ?? String(op)} ${list}`;
  }
  if (kind === 'not') return `not (${targetWords((rule as Rule)['not'])})`;
  if (kind === 'unknown') return '…';
  const inner = parts(rule);
  if (inner.length === 0) return kind === 'all' ? 'everyone' : 'nobody';
  const word = kind === 'all' ? ' and ' : ' or ';
  const bracketed = (part: unknown) => {
    const isGroup = parts(part).length > 1;
    return isGroup ? `(${targetWords(part)})` : targetWords(part);
  };
  return inner.map(bracketed).join(word);
}
