// The snippet's renderer, which is compiled by rules of its own (`src/snippet/tsconfig.json`).
declare module 'nudged-snippet/popup' {
  /** Puts content on screen; gives what takes it off, or null where there is nothing to show. */
  export function show(
    content: Record<string, unknown>,
    stage: { closeLabel?: string; done(action: string, url?: string): boolean },
  ): (() => void) | null;
}
