// What an application imports. Nothing happens by itself: `ask` is the page's to call.

import { makeNudge } from './client.js';
import type { Nudge, Options } from './types.js';

export type * from './types.js';

/** Makes what asks one node. `options.node` is where that is: `https://popups.example/`. */
export function createNudge(options: Options & { node: string }): Nudge {
  return makeNudge(options, async () => (await import('./popup.js')).show);
}
