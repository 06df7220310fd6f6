// Where the focus goes when what had it is gone: to the page, and never nowhere.

/** Gives it back to what had it; to the page where that is gone, or nothing had it. */
export function giveFocusBack(before: Element | null): void {
  const isThere = before instanceof HTMLElement && before.isConnected && before !== document.body;
  (isThere ? before : document.getElementById('page'))?.focus({ preventScroll: true });
}
