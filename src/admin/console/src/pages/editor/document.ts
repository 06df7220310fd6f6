// The text that is edited, and what is known of it. Form and JSON are two views of this one text;
// while it is no JSON the form keeps to the last text that was.
import { computed, signal } from '@preact/signals';
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import {
  fieldOf,
  find,
  parseJson,
  pathOf,
  rangeOf,
  valueOf,
  type JsonNode,
  type JsonPath,
} from './model/json';
import { hints, type Problem } from './model/hints';
import { exactOf, withValue } from './model/text';

type Members = Record<string, unknown>;

function membersOf(node: JsonNode): Members {
  return node.kind === 'object' ? (valueOf(node) as Members) : {};
}

export class EditorDocument {
  readonly text = signal('');
  /** The last text that was JSON. */
  readonly good = signal<{ text: string; node: JsonNode }>({
    text: '{}',
    node: parseJson('{}').node!,
  });
  /** Why the text is no JSON; null if it is. */
  readonly broken = computed(() => parseJson(this.text.value).error);
  readonly definition = computed(() => membersOf(this.good.value.node));
  /** What the node said of a text, and of which; null until it has. */
  readonly told = signal<{ text: string; problems: readonly Problem[] } | null>(null);
  readonly problems = computed<readonly Problem[]>(() => {
    const told = this.told.value;
    if (told?.text === this.text.value) return told.problems;
    // Until the node answers, what it said before stands beside what is seen here.
    const own = hints(this.definition.value);
    const before = told?.problems ?? [];
    return [...before, ...own.filter(({ field }) => !before.some((one) => one.field === field))];
  });
  /** Where the JSON is to be looked at. */
  readonly pointed = signal<string | null>(null);
  /** In the order of the text. */
  readonly errors = computed(() => {
    const { node } = this.good.value;
    const at = ({ field }: Problem) => rangeOf(node, pathOf(field)).start;
    const errors = this.problems.value.filter(({ kind }) => kind === 'error');
    return errors.toSorted((a, b) => at(a) - at(b));
  });

  constructor(
    text: string,
    /** Nothing is changed: it is another's, or may only be looked at. */
    readonly readOnly: boolean,
  ) {
    this.setText(text);
  }

  setText(text: string): void {
    if (text === this.text.peek()) return;
    const { node } = parseJson(text);
    if (node) this.good.value = { text, node };
    this.text.value = text;
  }

  /** What stands at a path. */
  at(path: JsonPath): unknown {
    const node = find(this.good.value.node, path);
    return node && valueOf(node);
  }

  /** The same, with every digit, for what is written back elsewhere. */
  exact(path: JsonPath): unknown {
    const { text, node } = this.good.value;
    const found = find(node, path);
    return found && exactOf(found, text);
  }

  /** A scalar as it is written, for fields that are typed into. */
  typed(path: JsonPath): string {
    const { text, node } = this.good.value;
    const found = find(node, path);
    if (!found || found.kind === 'null') return '';
    return found.kind === 'text' ? String(found.scalar) : text.slice(found.start, found.end);
  }

  /** Changes a value; `undefined` takes it out. Nothing while the text is no JSON. */
  set(path: JsonPath, value: unknown): void {
    if (this.readOnly || this.broken.peek()) return;
    this.setText(withValue(this.text.peek(), path, value));
  }

  /** Changes several at once, as one step. */
  setAll(changes: readonly (readonly [JsonPath, unknown])[]): void {
    if (this.readOnly || this.broken.peek()) return;
    const made = changes.reduce(
      (text, [path, value]) => withValue(text, path, value),
      this.text.peek(),
    );
    this.setText(made);
  }

  /** What is wrong at exactly this path. */
  problemsAt(path: JsonPath): readonly Problem[] {
    const field = fieldOf(path);
    return this.problems.value.filter((problem) => problem.field === field);
  }

  /** What is wrong at this path or below it. */
  problemsBelow(path: JsonPath): readonly Problem[] {
    const field = fieldOf(path);
    return this.problems.value.filter(
      (problem) =>
        problem.field === field ||
        (/^[.[]/.test(problem.field.replace(field, '')) && problem.field.startsWith(field)),
    );
  }
}

export const DocumentContext = createContext<EditorDocument>(new EditorDocument('{}\n', true));

export function useDocument(): EditorDocument {
  return useContext(DocumentContext);
}
