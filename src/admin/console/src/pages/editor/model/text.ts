// Writes JSON texts: lays them out, and changes one value of a text without touching the rest.
import { child, parseJson, type JsonNode, type JsonPath } from './json';

/** A value as its JSON text: what JavaScript's numbers can't hold stays as it was typed. */
export class RawJson {
  constructor(readonly json: string) {}

  toString(): string {
    return this.json;
  }
}

/** What a node says, with numbers that JavaScript would change as they are written. */
export function exactOf(node: JsonNode, text: string): unknown {
  if (node.kind === 'array') return node.items.map((item) => exactOf(item, text));
  if (node.kind === 'object') {
    const value = Object.create(null) as Record<string, unknown>;
    for (const member of node.members) value[member.key] = exactOf(member.node, text);
    return value;
  }
  const json = text.slice(node.start, node.end);
  return node.kind === 'number' && String(node.scalar) !== json ? new RawJson(json) : node.scalar;
}

/** JSON of a value that may hold such numbers. */
function jsonOf(value: unknown): string {
  if (value instanceof RawJson) return value.json;
  if (Array.isArray(value)) return `[${value.map((item) => jsonOf(item ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${jsonOf(member)}`).join(',')}}`;
}

/** Members of a definition in the order in which people read them. */
const ORDER = [
  'id',
  'status',
  'placement',
  'priority',
  'starts_at',
  'ends_at',
  'windows',
  'tz',
  'max_shows',
  'caps',
  'after_shown',
  'after_ignored',
  'after_dismissed',
  'after_clicked',
  'after_converted',
  'ignore_after',
  'quiet_exempt',
  'rollout',
  'on_failure',
  'target',
  'content',
  'locales',
  'variants',
];

/** What is no longer than that and has no parts with parts of their own stays in one line. */
const LINE_MAX = 76;

/** The same JSON, laid out; what is no JSON stays as it is. */
export function laidOut(text: string): string {
  const { node } = parseJson(text);
  return node ? `${lay(node, text, '')}\n` : text;
}

function lay(node: JsonNode, text: string, indent: string): string {
  const parts = node.kind === 'object' ? node.members.map((member) => member.node) : node.items;
  if (node.kind !== 'object' && node.kind !== 'array') return text.slice(node.start, node.end);
  const [open, close] = node.kind === 'object' ? '{}' : '[]';
  if (parts.length === 0) return `${open}${close}`;
  const inner = `${indent}  `;
  const isFlat = parts.every((part) => part.members.length === 0 && part.items.length === 0);
  const written = (at: string) =>
    node.kind === 'object'
      ? node.members.map(({ key, node }) => `${JSON.stringify(key)}: ${lay(node, text, at)}`)
      : node.items.map((item) => lay(item, text, at));
  if (isFlat && indent) {
    const space = node.kind === 'object' ? ' ' : '';
    const line = `${open}${space}${written('').join(', ')}${space}${close}`;
    if (indent.length + line.length <= LINE_MAX && !isProse(node)) return line;
  }
  const lines = written(inner).map((line) => inner + line);
  return `${open}\n${lines.join(',\n')}\n${indent}${close}`;
}

/** Whether an object is content, which reads better with a line for each member. */
function isProse(node: JsonNode): boolean {
  return node.members.some(({ key }) => key === 'title' || key === 'text');
}

/** A value's JSON. */
function written(value: unknown, indent: string): string {
  const text = jsonOf(value);
  const { node } = parseJson(text);
  return node ? lay(node, text, indent) : text;
}

/** A text with another value at a path; `undefined` takes the member or item out. */
export function withValue(text: string, path: JsonPath, value: unknown): string {
  const { node } = parseJson(text);
  if (!node) return text;
  if (path.length === 0) return value === undefined ? '{}\n' : `${written(value, '')}\n`;
  let parent = node;
  for (const [index, step] of path.entries()) {
    const next = child(parent, step);
    const isLast = index === path.length - 1;
    if (!next) {
      if (value === undefined) return text;
      const made = nested(path.slice(index + 1), value);
      const holds = typeof step === 'number' ? parent.kind === 'array' : parent.kind === 'object';
      // What stands there is no place for members: the edit takes its place.
      if (!holds) return replaced(text, parent, nested(path.slice(index), value));
      return inserted(text, parent, step, made);
    }
    if (isLast) {
      return value === undefined ? removed(text, parent, step) : replaced(text, next, value);
    }
    parent = next;
  }
  return text;
}

function nested(path: JsonPath, value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  const inner = nested(rest, value);
  return typeof step === 'number' ? [inner] : { [step]: inner };
}

function indentAt(text: string, at: number): string {
  const start = text.lastIndexOf('\n', at - 1) + 1;
  return /^[ \t]*/.exec(text.slice(start, at))?.[0] ?? '';
}

function replaced(text: string, node: JsonNode, value: unknown): string {
  const indent = indentAt(text, node.start);
  return text.slice(0, node.start) + written(value, indent) + text.slice(node.end);
}

function inserted(text: string, parent: JsonNode, step: string | number, value: unknown): string {
  const isInline =
    !text.slice(parent.start, parent.end).includes('\n') && parent.end - parent.start > 2;
  const indent = indentAt(text, parent.start);
  const inner = isInline ? '' : `${indent}  `;
  const name = typeof step === 'string' ? `${JSON.stringify(step)}: ` : '';
  const made = name + written(value, inner);
  const starts =
    parent.kind === 'object'
      ? parent.members.map(({ start }) => start)
      : parent.items.map(({ start }) => start);
  if (starts.length === 0) {
    const hull = parent.kind === 'object' ? '{}' : '[]';
    const body = `${hull[0]}\n${indent}  ${made}\n${indent}${hull[1]}`;
    return text.slice(0, parent.start) + body + text.slice(parent.end);
  }
  const gap = isInline ? ' ' : `\n${inner}`;
  const before =
    parent.start === firstOf(text) && typeof step === 'string' ? successor(parent, step) : -1;
  const at = starts[before];
  if (at !== undefined) return `${text.slice(0, at)}${made},${gap}${text.slice(at)}`;
  const last = parent.kind === 'object' ? parent.members.at(-1)?.node : parent.items.at(-1);
  const end = last?.end ?? parent.start + 1;
  return `${text.slice(0, end)},${gap}${made}${text.slice(end)}`;
}

function firstOf(text: string): number {
  return text.search(/\S/);
}

/** Which member of a definition a new one stands before; -1 for none. */
function successor(parent: JsonNode, key: string): number {
  const rank = ORDER.indexOf(key);
  if (rank < 0) return -1;
  return parent.members.findIndex((member) => ORDER.indexOf(member.key) > rank);
}

function removed(text: string, parent: JsonNode, step: string | number): string {
  const spans =
    parent.kind === 'object'
      ? parent.members.map(({ key, start, node }) => ({ key, start, end: node.end }))
      : parent.items.map(({ start, end }, key) => ({ key, start, end }));
  const index = spans.findIndex(({ key }) => key === step);
  const span = spans[index];
  if (!span) return text;
  const [before, next] = [spans[index - 1], spans[index + 1]];
  if (!before && !next) {
    const hull = parent.kind === 'object' ? '{}' : '[]';
    return text.slice(0, parent.start) + hull + text.slice(parent.end);
  }
  if (next) return text.slice(0, span.start) + text.slice(next.start);
  return text.slice(0, before?.end ?? span.start) + text.slice(span.end);
}
