// What a part of a page loads: again when what it depends on changes, or the node comes back. What
// was there stays shown until the new is here, so that nothing jumps.
import { useEffect, useRef, useState } from 'preact/hooks';
import { returns } from './connection';

export interface Loaded<T> {
  /** Undefined until the first answer; the last good one after. */
  readonly value: T | undefined;
  /** Why the last try failed; null if it did not. */
  readonly error: unknown;
  readonly busy: boolean;
  /** Whether the value is what another key had, while the new is on its way. */
  readonly isOld: boolean;
  readonly reload: () => void;
}

/** `key` says what is loaded: another key begins anew. With null, nothing is loaded. */
export function useLoad<T>(
  key: string | null,
  load: (signal: AbortSignal) => Promise<T>,
): Loaded<T> {
  const [state, setState] = useState<{
    key: string | null;
    value: T | undefined;
    error: unknown;
    busy: boolean;
  }>({ key, value: undefined, error: null, busy: key !== null });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    setState((before) => ({ ...before, busy: true }));
    latest.current(abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setState({ key, value, error: null, busy: false });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        setState((before) => ({
          key,
          // What failed to come is not what another key had.
          value: before.key === key ? before.value : undefined,
          error,
          busy: false,
        }));
      },
    );
    return () => abort.abort();
  }, [key, turn, returns.value]);
  const { value, error, busy } = state;
  const isOld = value !== undefined && state.key !== key;
  return { value, error, busy, isOld, reload: () => setTurn((before) => before + 1) };
}

/** Calls again and again while the tab is seen. */
export function useEvery(ms: number, call: () => void): void {
  const latest = useRef(call);
  latest.current = call;
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') latest.current();
    }, ms);
    return () => clearInterval(timer);
  }, [ms]);
}
