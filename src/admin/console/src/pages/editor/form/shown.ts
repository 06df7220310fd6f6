// Which variant and which language are looked at: form and preview show the same.
import { signal, type Signal } from '@preact/signals';
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

export interface Shown {
  /** Index. */
  readonly variant: Signal<number>;
  /** Null: for all languages that have none of their own. */
  readonly locale: Signal<string | null>;
}

export function newShown(): Shown {
  return { variant: signal(0), locale: signal(null) };
}

export const ShownContext = createContext<Shown>(newShown());

export function useShown(): Shown {
  return useContext(ShownContext);
}
