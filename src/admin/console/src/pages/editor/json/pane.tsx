// The JSON beside the form. Each change in one is in the other; what the node says of the text
// stands at its line, and in words below.
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from '../../../ui/button';
import { Failure } from '../../../ui/notice';
import { useDocument, type EditorDocument } from '../document';
import { lineOf, pathOf, rangeOf } from '../model/json';
import { laidOut } from '../model/text';
import type { Code, CodePlace } from './code';

/** Where problems stand in the text; the one error of a text that is no JSON. */
function placesOf(doc: EditorDocument): CodePlace[] {
  const broken = doc.broken.value;
  const text = doc.text.value;
  if (broken) {
    return [{ from: broken.at, to: broken.at + 1, message: broken.message, kind: 'error' }];
  }
  const { node } = doc.good.value;
  const places = doc.problems.value.map(({ field, message, kind }) => {
    const { start, end } = rangeOf(node, pathOf(field));
    const named = field ? `${field}: ${message}` : message;
    return { from: Math.min(start, text.length), to: end, message: named, kind };
  });
  return places.toSorted((a, b) => a.from - b.from);
}

export function JsonPane() {
  const doc = useDocument();
  const place = useRef<HTMLDivElement>(null);
  const [code, setCode] = useState<Code | null>(null);
  const [failed, setFailed] = useState<unknown>(null);
  useEffect(() => {
    let made: Code | null = null;
    let gone = false;
    import('./code').then(
      ({ createCode }) => {
        if (gone || !place.current) return;
        const options = {
          text: doc.text.peek(),
          readOnly: doc.readOnly,
          onText: (text: string) => doc.setText(text),
        };
        made = createCode(place.current, options);
        setCode(made);
      },
      (error: unknown) => setFailed(error),
    );
    return () => {
      gone = true;
      made?.destroy();
    };
  }, [doc]);
  return (
    <div class="json">
      <div class="json-place" ref={place} />
      {failed !== null && <Failure error={failed} what="The JSON editor could not be loaded" />}
      {code && <Bound code={code} doc={doc} />}
    </div>
  );
}

/** So many messages stand below the text; all of them stand at their lines. */
const LINES_MAX = 50;

function Bound({ code, doc }: { code: Code; doc: EditorDocument }) {
  useSignalEffect(() => code.setText(doc.text.value));
  useSignalEffect(() => code.mark(placesOf(doc)));
  useSignalEffect(() => {
    const field = doc.pointed.value;
    if (field === null) return;
    doc.pointed.value = null;
    code.goTo(rangeOf(doc.good.peek().node, pathOf(field)).start);
  });
  const text = doc.text.value;
  const places = placesOf(doc);
  const isLaidOut = doc.broken.value !== null || laidOut(text) === text;
  return (
    <div class="json-told">
      {places.length === 0 && <p class="small soft">Valid JSON, and a valid popup.</p>}
      <ul aria-label="What is wrong">
        {places.slice(0, LINES_MAX).map(({ from, message, kind }) => (
          <li key={`${from} ${message}`} class={`json-problem json-${kind}`}>
            <Button kind="quiet" small onClick={() => code.goTo(from)}>
              Line {lineOf(text, from).line}
            </Button>
            <span>{message}</span>
          </li>
        ))}
      </ul>
      {places.length > LINES_MAX && <p class="small soft">and {places.length - LINES_MAX} more.</p>}
      {!isLaidOut && !doc.readOnly && (
        <Button kind="quiet" small onClick={() => doc.setText(laidOut(text))}>
          Reformat
        </Button>
      )}
    </div>
  );
}
