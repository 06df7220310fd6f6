import type { Nudge, Options } from './types.js';
export type * from './types.js';
/** Makes what asks one node. `options.node` is where that is: `https://popups.example/`. */
export declare function createNudge(options: Options & {
    node: string;
}): Nudge;
