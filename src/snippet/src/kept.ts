// What is kept in the browser, under `nudge.` in localStorage. Where that refuses, or is not
// wanted, it is kept as long as the page lives. Values read back may be anybody's.

const PREFIX = 'nudge.';

export interface Kept {
  read(name: string): unknown;
  write(name: string, value: unknown): void;
  clear(): void;
}

/** `isWanted` says at each use whether localStorage may be used. */
export function makeKept(isWanted: () => boolean): Kept {
  const memory = new Map<string, string>();
  const storage = (): Storage | null => {
    try {
      return isWanted() ? localStorage : null;
    } catch {
      return null;
    }
  };
  return {
    read(name) {
      try {
        const text = storage()?.getItem(PREFIX + name) ?? memory.get(name);
        return text ? JSON.parse(text) : undefined;
      } catch {
        return undefined;
      }
    },
    write(name, value) {
      const text = JSON.stringify(value);
      try {
        const kept = storage();
        if (kept) {
          kept.setItem(PREFIX + name, text);
          memory.delete(name);
          return;
        }
      } catch {
        // Full, or forbidden.
      }
      memory.set(name, text);
    },
    clear() {
      memory.clear();
      try {
        for (const name of Object.keys(localStorage)) {
          if (name.startsWith(PREFIX)) localStorage.removeItem(name);
        }
      } catch {
        // Then there is nothing.
      }
    },
  };
}

/** A value as an object of its own members, whatever it is. */
export function record(value: unknown): Record<string, unknown> {
  return value && typeof value === 'object' ? (value as Record<string, unknown>) : {};
}
