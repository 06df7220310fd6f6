// What an application imports. Nothing happens by itself: `ask` is the page's to call.

import { makeNudge } from './client.js';
import type { Nudge, Options } from './types.js';

export type * from './types.js';

/** What a server has that renders pages: nobody is there who could see a popup. */
const nobody: Nudge = {
  ask: async () => ({ popup: null, reason: 'failed' }),
  configure() {},
  converted() {},
  close() {},
  reset() {},
};

/**
 * Makes what asks one node. `options.node` is where that is: `https://popups.example/`. Outside of a
 * browser it asks nobody.
 */
export function createNudge(options: Options & { node: string }): Nudge {
  if (typeof document === 'undefined') return nobody;
  return makeNudge(options, async () => (await import('./popup.js')).show);
}
