// What goes on while somebody types: the node is asked what it says of the text, and the text is
// kept in this browser.
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { session } from '../../api/session';
import { forget, keep, leftOf, type Kept, type KeptPlace } from './model/kept';
import { check } from './requests';
import type { EditorState } from './state';

const CHECK_PAUSE_MS = 250;
const KEEP_PAUSE_MS = 400;

/** Asks the node after each pause in typing; a node that can't be asked is not asked again. */
export function useCheck(state: EditorState): void {
  const isDeaf = useRef(false);
  const abort = useRef<AbortController | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  useSignalEffect(() => {
    const text = state.doc.text.value;
    const isBroken = state.doc.broken.value !== null;
    clearTimeout(timer.current);
    abort.current?.abort();
    if (isBroken || isDeaf.current || state.doc.told.peek()?.text === text) return;
    timer.current = setTimeout(() => {
      const one = new AbortController();
      abort.current = one;
      check(state.isNew ? '' : state.id, text, one.signal).then(
        (problems) => {
          if (problems === null) isDeaf.current = true;
          else state.doc.told.value = { text, problems };
        },
        // The next text is asked for again; the hints of the form hold until then.
        () => {},
      );
    }, CHECK_PAUSE_MS);
  });
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      abort.current?.abort();
    },
    [],
  );
}

export interface Offer {
  readonly kept: Kept;
  readonly take: () => void;
  readonly drop: () => void;
}

function shelf(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

/** Keeps what is typed, and offers what closed tabs have left of the popup, one after the other. */
export function useKeeping(
  state: EditorState,
  id: string,
): { offer: Offer | null; isKept: boolean } {
  const texts = shelf();
  const [place] = useState(() => {
    const editor = Math.random().toString(36).slice(2);
    return { node: session.value?.node ?? '', id, editor };
  });
  const [left, setLeft] = useState(() => {
    if (!texts || state.doc.readOnly) return [];
    const loaded = state.loaded.peek().trim();
    return leftOf(texts, place).filter(({ kept }) => kept.text.trim() !== loaded);
  });
  const [isKept, setKept] = useState(true);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const write = useRef(() => {});
  write.current = () => {
    if (!texts || state.doc.readOnly) return;
    if (state.isDirty.peek()) setKept(keep(texts, place, state.toKeep()));
    else forget(texts, place);
  };
  useSignalEffect(() => {
    void state.doc.text.value;
    void state.isDirty.value;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => write.current(), KEEP_PAUSE_MS);
  });
  useEffect(() => {
    const flush = () => write.current();
    window.addEventListener('pagehide', flush);
    document.addEventListener('visibilitychange', flush);
    return () => {
      window.removeEventListener('pagehide', flush);
      document.removeEventListener('visibilitychange', flush);
      clearTimeout(timer.current);
      flush();
    };
  }, []);
  const first = left[0];
  const done = (gone: KeptPlace) => {
    if (texts) forget(texts, gone);
    setLeft(left.slice(1));
  };
  const offer = first && {
    kept: first.kept,
    take: () => {
      // What is typed here already is offered again by the next who comes.
      if (texts && state.isDirty.peek()) {
        keep(texts, { ...place, editor: `${place.editor}-before` }, state.toKeep());
      }
      state.takeKept(first.kept);
      write.current();
      done(first.place);
    },
    drop: () => done(first.place),
  };
  return { offer: offer ?? null, isKept };
}
