// Unsaved texts, kept in this browser so that a closed tab loses nothing. Each opened editor has a
// place of its own, so that none writes over what another has left: the newest 20 of all.

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
/** Twice the largest popup (1 MiB), and less than what browsers keep of a site. */
export const KEPT_CHARACTERS_MAX = 2_500_000;

/** What keeps texts; `localStorage` but in tests. */
export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;

/** Where an editor keeps its text. */
export interface KeptPlace {
  readonly node: string;
  /** The popup's id; of a new one, what it was begun with. */
  readonly id: string;
  /** One word for each editor that was opened. */
  readonly editor: string;
}

function keyOf({ node, id, editor }: KeptPlace): string {
  return `${PREFIX}${node}/${id}#${editor}`;
}

/** Whether it is kept now; a browser may keep nothing. */
export function keep(shelf: Shelf, place: KeptPlace, kept: Kept): boolean {
  const json = JSON.stringify(kept);
  if (json.length > KEPT_CHARACTERS_MAX) return false;
  const key = keyOf(place);
  const others = all(shelf).filter((other) => other.key !== key);
  const surplus = Math.max(0, others.length - KEPT_MAX + 1);
  for (const old of others.slice(0, surplus)) shelf.removeItem(old.key);
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

export function forget(shelf: Shelf, place: KeptPlace): void {
  shelf.removeItem(keyOf(place));
}

/** What other editors have left of a popup, the newest first. */
export function leftOf(shelf: Shelf, place: KeptPlace): { place: KeptPlace; kept: Kept }[] {
  const prefix = keyOf({ ...place, editor: '' });
  const found = all(shelf).filter(({ key }) => key.startsWith(prefix) && key !== keyOf(place));
  return found.toReversed().flatMap(({ key }) => {
    const kept = read(shelf.getItem(key));
    return kept ? [{ place: { ...place, editor: key.slice(prefix.length) }, kept }] : [];
  });
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
