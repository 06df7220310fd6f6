// A JSON text with the place of each of its values, so that a message about `caps[0].n` finds its
// line, and an edit changes one value and leaves every other character as it was written: numbers
// beyond what JavaScript counts, members that no form knows, the order and the white space.

export type JsonPath = readonly (string | number)[];

export interface JsonMember {
  readonly key: string;
  /** Where the key begins, with its quotes. */
  readonly start: number;
  readonly node: JsonNode;
}

export interface JsonNode {
  readonly kind: 'object' | 'array' | 'text' | 'number' | 'boolean' | 'null';
  readonly start: number;
  readonly end: number;
  /** Of an object. */
  readonly members: readonly JsonMember[];
  /** Of an array. */
  readonly items: readonly JsonNode[];
  /** Of all else. */
  readonly scalar: string | number | boolean | null;
}

/** Where a text stops to be JSON, and why. */
export interface JsonError {
  readonly at: number;
  readonly message: string;
}

/** As deep as the node reads. */
const DEPTH_MAX = 120;

class Broken extends Error {
  constructor(
    readonly at: number,
    message: string,
  ) {
    super(message);
  }
}

type Parsed = { node: JsonNode; error: null } | { node: null; error: JsonError };

/** Form, JSON and checks read one text in turn: the last ones are remembered. */
const REMEMBERED_MAX = 3;
let remembered: { text: string; parsed: Parsed }[] = [];

/** Reads a text; gives its root or the first error. */
export function parseJson(text: string): Parsed {
  const known = remembered.find((one) => one.text === text);
  if (known) return known.parsed;
  const parsed = read(text);
  remembered = [{ text, parsed }, ...remembered].slice(0, REMEMBERED_MAX);
  return parsed;
}

function read(text: string): Parsed {
  const reader = new Reader(text);
  try {
    return { node: reader.whole(), error: null };
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    return { node: null, error: { at: Math.min(error.at, text.length), message: error.message } };
  }
}

/** As JSON has it: space, line ends, tab. */
function isSpace(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9;
}

const WORD = /[-+.\w]+/y;

class Reader {
  private at = 0;
  constructor(private readonly text: string) {}

  whole(): JsonNode {
    const node = this.value(0);
    this.space();
    if (this.at < this.text.length) throw new Broken(this.at, 'nothing may follow the last }');
    return node;
  }

  private space(): void {
    while (isSpace(this.text.charCodeAt(this.at))) this.at += 1;
  }

  private value(depth: number): JsonNode {
    if (depth > DEPTH_MAX) throw new Broken(this.at, `deeper than ${DEPTH_MAX} levels`);
    this.space();
    const first = this.text[this.at];
    if (first === '{') return this.object(depth);
    if (first === '[') return this.array(depth);
    if (first === '"') return this.string();
    return this.word();
  }

  private object(depth: number): JsonNode {
    const start = this.at;
    const members: JsonMember[] = [];
    this.at += 1;
    this.space();
    while (this.text[this.at] !== '}') {
      if (members.length > 0) this.comma('}');
      if (this.text[this.at] !== '"') throw new Broken(this.at, 'expected a name in double quotes');
      const key = this.string();
      const name = String(key.scalar);
      if (members.some((member) => member.key === name)) {
        throw new Broken(key.start, `"${name}" is written twice`);
      }
      this.space();
      if (this.text[this.at] !== ':') throw new Broken(this.at, `expected : after "${name}"`);
      this.at += 1;
      members.push({ key: name, start: key.start, node: this.value(depth + 1) });
      this.space();
    }
    this.at += 1;
    return { kind: 'object', start, end: this.at, members, items: [], scalar: null };
  }

  private array(depth: number): JsonNode {
    const start = this.at;
    const items: JsonNode[] = [];
    this.at += 1;
    this.space();
    while (this.text[this.at] !== ']') {
      if (items.length > 0) this.comma(']');
      items.push(this.value(depth + 1));
      this.space();
    }
    this.at += 1;
    return { kind: 'array', start, end: this.at, members: [], items, scalar: null };
  }

  private comma(end: string): void {
    if (this.at >= this.text.length) throw new Broken(this.at, `the text ends before its ${end}`);
    if (this.text[this.at] !== ',') throw new Broken(this.at, `expected , or ${end}`);
    const comma = this.at;
    this.at += 1;
    this.space();
    if (this.text[this.at] === end) throw new Broken(comma, `no comma may stand before ${end}`);
  }

  private string(): JsonNode {
    const start = this.at;
    let end = start + 1;
    while (this.text[end] !== '"') {
      const character = this.text[end];
      if (character === undefined || character === '\n') {
        throw new Broken(start, 'this text has no closing quote');
      }
      end += character === '\\' ? 2 : 1;
    }
    this.at = end + 1;
    return {
      ...this.scalar(start, 'not a text: a \\ or control character is wrong'),
      kind: 'text',
    };
  }

  private word(): JsonNode {
    const start = this.at;
    WORD.lastIndex = start;
    const word = WORD.exec(this.text)?.[0] ?? '';
    if (!word) {
      const isOver = start >= this.text.length;
      throw new Broken(start, isOver ? 'the text ends where a value is due' : 'expected a value');
    }
    this.at = start + word.length;
    const hint = `${word.slice(0, 20)} is no value: texts stand in double quotes`;
    const node = this.scalar(start, hint);
    const kind =
      node.scalar === null ? 'null' : typeof node.scalar === 'number' ? 'number' : 'boolean';
    return { ...node, kind };
  }

  private scalar(start: number, hint: string): JsonNode {
    let scalar: JsonNode['scalar'];
    try {
      scalar = JSON.parse(this.text.slice(start, this.at)) as JsonNode['scalar'];
    } catch {
      throw new Broken(start, hint);
    }
    return { kind: 'null', start, end: this.at, members: [], items: [], scalar };
  }
}

/** What a node says; numbers as JavaScript has them. */
export function valueOf(node: JsonNode): unknown {
  if (node.kind === 'array') return node.items.map(valueOf);
  if (node.kind !== 'object') return node.scalar;
  // No prototype, so that a member called `__proto__` is a member like any other.
  const value = Object.create(null) as Record<string, unknown>;
  for (const member of node.members) value[member.key] = valueOf(member.node);
  return value;
}

export function child(node: JsonNode, step: string | number): JsonNode | undefined {
  if (typeof step === 'number') return node.items[step];
  return node.members.find((member) => member.key === step)?.node;
}

/** The node at a path, if there is one. */
export function find(node: JsonNode, path: JsonPath): JsonNode | undefined {
  let found: JsonNode | undefined = node;
  for (const step of path) found = found && child(found, step);
  return found;
}

/** Where to point for a path: at its value, or at the last thing on the way that is there. */
export function rangeOf(node: JsonNode, path: JsonPath): { start: number; end: number } {
  let found = node;
  let range = { start: node.start, end: Math.min(node.end, node.start + 1) };
  for (const step of path) {
    const next = child(found, step);
    if (!next) break;
    const member = found.members.find(({ key }) => key === step);
    const isLarge = next.kind === 'object' || next.kind === 'array';
    range = {
      start: member ? member.start : next.start,
      end: isLarge ? next.start + 1 : next.end,
    };
    found = next;
  }
  return range;
}

/** The path that the node's messages write as `target.all[1].value`. */
export function pathOf(field: string): JsonPath {
  const steps: (string | number)[] = [];
  for (const part of field.matchAll(/\[(\d+)\]|([^.[\]]+)/g)) {
    steps.push(part[1] === undefined ? (part[2] ?? '') : Number(part[1]));
  }
  return steps;
}

export function fieldOf(path: JsonPath): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

/** Line and column, both from 1. */
export function lineOf(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at);
  const line = before.split('\n').length;
  return { line, column: at - before.lastIndexOf('\n') };
}
