// The JSON as text, by CodeMirror: loaded when it is looked at. It stands in a shadow root, since
// there its styles are adopted sheets, which the content security policy lets pass.
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  syntaxHighlighting,
} from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { Annotation, EditorState } from '@codemirror/state';
import { EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';

const COLOURS = HighlightStyle.define([
  { tag: tags.propertyName, color: 'var(--accent)' },
  { tag: tags.string, color: 'var(--ink)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--warn)' },
]);

const THEME = EditorView.theme({
  '&': {
    height: '100%',
    backgroundColor: 'var(--surface)',
    color: 'var(--ink)',
    fontSize: '0.8125rem',
  },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--font-code)', lineHeight: '1.5' },
  '.cm-content': { caretColor: 'var(--ink)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-gutters': {
    backgroundColor: 'var(--sunken)',
    color: 'var(--ink-soft)',
    border: 'none',
  },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'transparent' },
  '.cm-activeLineGutter': { color: 'var(--ink)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, ::selection': {
    backgroundColor: 'var(--accent-soft)',
  },
  '.cm-matchingBracket': { backgroundColor: 'var(--accent-soft)' },
  '.cm-tooltip': {
    backgroundColor: 'var(--raised)',
    color: 'var(--ink)',
    border: '1px solid var(--border)',
  },
});

/** The text came from the form: it is not told back to it. */
const fromForm = Annotation.define<boolean>();

export interface CodePlace {
  readonly from: number;
  readonly to: number;
  readonly message: string;
  readonly kind: 'error' | 'warning';
}

export interface Code {
  setText(text: string): void;
  mark(places: readonly CodePlace[]): void;
  goTo(at: number): void;
  destroy(): void;
}

interface CodeOptions {
  readonly text: string;
  readonly readOnly: boolean;
  readonly onText: (text: string) => void;
}

/** The only part of two texts that differs, so that cursor and history stay. */
function change(before: string, after: string) {
  let from = 0;
  const shorter = Math.min(before.length, after.length);
  while (from < shorter && before[from] === after[from]) from += 1;
  let tail = 0;
  while (tail < shorter - from && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  return { from, to: before.length - tail, insert: after.slice(from, after.length - tail) };
}

export function createCode(place: HTMLElement, options: CodeOptions): Code {
  const root = place.shadowRoot ?? place.attachShadow({ mode: 'open' });
  const tell = EditorView.updateListener.of((update) => {
    const isOwn = update.transactions.some((one) => one.annotation(fromForm));
    if (update.docChanged && !isOwn) options.onText(update.state.doc.toString());
  });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lineNumbers(),
        lintGutter(),
        history(),
        indentOnInput(),
        bracketMatching(),
        highlightActiveLine(),
        EditorView.lineWrapping,
        json(),
        syntaxHighlighting(COLOURS),
        THEME,
        EditorState.readOnly.of(options.readOnly),
        EditorView.contentAttributes.of({ 'aria-label': 'Definition as JSON', tabindex: '0' }),
        // Tab leaves the field: it is a page, and not a program's window.
        keymap.of([...defaultKeymap, ...historyKeymap, ...lintKeymap]),
        tell,
      ],
    }),
  });
  return {
    setText(text) {
      const before = view.state.doc.toString();
      if (before === text) return;
      view.dispatch({ changes: change(before, text), annotations: fromForm.of(true) });
    },
    mark(places) {
      const length = view.state.doc.length;
      const marks = places.map(({ from, to, message, kind }): Diagnostic => ({
        from: Math.min(from, length),
        to: Math.min(Math.max(to, from), length),
        severity: kind,
        message,
      }));
      view.dispatch(setDiagnostics(view.state, marks));
    },
    goTo(at) {
      const anchor = Math.min(at, view.state.doc.length);
      view.dispatch({
        selection: { anchor },
        effects: EditorView.scrollIntoView(anchor, { y: 'center' }),
      });
      view.focus();
    },
    destroy: () => view.destroy(),
  };
}
