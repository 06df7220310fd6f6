// What the editor and the frame of its preview say to each other. Both are of one origin, and
// neither hears anybody else.

/** To the frame: what is to be on screen. */
export interface Draw {
  readonly kind: 'draw';
  readonly content: Record<string, unknown>;
  readonly scheme: 'light' | 'dark';
}

/** From the frame: that it listens, whether there was something to draw, and what was pressed. */
export type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'drawn'; readonly shown: boolean }
  | { readonly kind: 'done'; readonly action: string; readonly url: string | null };
