// Keys that do something while nothing is typed. Whoever is on the page says which: the list that
// `?` shows is what is in force.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

export interface Keys {
  /** A key as `KeyboardEvent.key` says it, or two in a row: `g p`. */
  readonly [keys: string]: { readonly words: string; readonly call: () => void };
}

/** Of two keys in a row, the second comes within this. */
const CHORD_MS = 1_500;

/** What is in force, the innermost last. */
export const keysInForce = signal<readonly Keys[]>([]);

/** Puts keys in force while the caller is shown. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  const names = Object.keys(keys).join('\n');
  useEffect(() => {
    const own: Keys = Object.fromEntries(
      names
        .split('\n')
        .filter(Boolean)
        .map((name) => [
          name,
          {
            words: latest.current[name]?.words ?? '',
            call: () => latest.current[name]?.call(),
          },
        ]),
    );
    keysInForce.value = [...keysInForce.value, own];
    return () => {
      keysInForce.value = keysInForce.value.filter((one) => one !== own);
    };
  }, [names]);
}

let first = { key: '', at: 0 };

/** Listens for all; called once, by the frame. */
export function listenForKeys(): () => void {
  document.addEventListener('keydown', press);
  return () => document.removeEventListener('keydown', press);
}

function press(event: KeyboardEvent): void {
  if (event.defaultPrevented || isTyped(event)) return;
  const chord = performance.now() - first.at < CHORD_MS ? `${first.key} ${event.key}` : '';
  const found = (chord && find(chord)) || find(event.key);
  first = { key: found ? '' : event.key, at: performance.now() };
  if (!found) return;
  event.preventDefault();
  found.call();
}

function find(name: string) {
  return keysInForce.value.findLast((keys) => name in keys)?.[name];
}

function isTyped(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  if (document.querySelector('dialog[open]')) return true;
  const at = event.target;
  if (!(at instanceof HTMLElement)) return false;
  if (at instanceof HTMLInputElement) return !['checkbox', 'radio', 'button'].includes(at.type);
  return at.isContentEditable || at.matches('textarea, select, [role="textbox"]');
}
