// What the first page needs, asked for before anything is drawn: who is here, and as soon as that is
// known the list of popups, so that neither waits for a frame.
import { getEarly } from '../api/client';
import { loadSession, may } from '../api/session';
import { askedOf, queryOf } from '../pages/popups/list-query';

/** Where `/console/` leads. */
export const FIRST = '/popups';

const BASE = '/console';

/** Settled once the node has said who is here, or has not answered. */
export const begun = begin();

async function begin(): Promise<void> {
  const path = location.pathname.slice(BASE.length);
  if (path === '' || path === '/') history.replaceState(null, '', BASE + FIRST);
  await loadSession();
  if (location.pathname !== BASE + FIRST || !may('read')) return;
  getEarly('/v1/popups', askedOf(queryOf(new URLSearchParams(location.search)), null));
}

// Whoever waits for it is told why it failed; where nobody does yet, that is no error of its own.
begun.catch(() => {});
