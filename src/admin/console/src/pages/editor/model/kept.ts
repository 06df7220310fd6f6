// Unsaved texts, kept in this browser so that a closed tab loses nothing: one for each popup and
// node, the newest 20, each as large as a popup may be written here.

export interface Kept {
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** What it was made from: the draft's revision and the live version, as they were loaded. */
  readonly revision: string | null;
  readonly base: number;
  /** The text that was loaded, for three texts side by side. */
  readonly loaded: string;
}

const PREFIX = 'nudged.editor.';
export const KEPT_MAX = 20;
export const KEPT_CHARACTERS_MAX = 200_000;

/** What keeps texts; `localStorage` but in tests. */
export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;

function keyOf(node: string, id: string): string {
  return `${PREFIX}${node}/${id}`;
}

/** Whether it is kept now; a browser may keep nothing. */
export function keep(shelf: Shelf, node: string, id: string, kept: Kept): boolean {
  const json = JSON.stringify(kept);
  if (json.length > KEPT_CHARACTERS_MAX) return false;
  const key = keyOf(node, id);
  const others = all(shelf).filter((other) => other.key !== key);
  for (const old of others.slice(0, Math.max(0, others.length - KEPT_MAX + 1)))
    shelf.removeItem(old.key);
  // A full shelf makes room for what is being written now.
  for (const old of [...others, null]) {
    try {
      shelf.setItem(key, json);
      return true;
    } catch {
      if (!old) return false;
      shelf.removeItem(old.key);
    }
  }
  return false;
}

export function keptOf(shelf: Shelf, node: string, id: string): Kept | null {
  return read(shelf.getItem(keyOf(node, id)));
}

export function forget(shelf: Shelf, node: string, id: string): void {
  shelf.removeItem(keyOf(node, id));
}

/** All that is kept, oldest first; what can't be read is the oldest. */
function all(shelf: Shelf): { key: string; at: number }[] {
  const keys = Array.from({ length: shelf.length }, (_, index) => shelf.key(index));
  return keys
    .filter((key): key is string => key?.startsWith(PREFIX) ?? false)
    .map((key) => ({ key, at: read(shelf.getItem(key))?.at ?? 0 }))
    .toSorted((a, b) => a.at - b.at);
}

function read(json: string | null): Kept | null {
  try {
    const kept = JSON.parse(json ?? 'null') as Kept | null;
    const isKept = typeof kept?.text === 'string' && typeof kept.at === 'number';
    return isKept ? kept : null;
  } catch {
    return null;
  }
}
