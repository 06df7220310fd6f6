import type { Nudge, Options } from './types.js';
export type * from './types.js';
/**
 * Makes what asks one node. `options.node` is where that is: `https://popups.example/`. Outside of a
 * browser it asks nobody.
 */
export declare function createNudge(options: Options & {
    node: string;
}): Nudge;
