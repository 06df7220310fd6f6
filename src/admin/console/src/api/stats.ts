// Counts as the node tells them.

export interface Counts {
  /** Decisions that returned a popup: shows. */
  readonly decided: number;
  /** Shows that a client has confirmed. */
  readonly shown: number;
  readonly ignored: number;
  readonly dismissed: number;
  readonly clicked: number;
  readonly converted: number;
  readonly answered: number | null;
  readonly ignored_inferred: number | null;
  readonly uniques?: number | null;
  readonly uniques_clicked?: number | null;
}

export interface StatsRow extends Counts {
  readonly popup: string;
  readonly variant: string | null;
  /** Its first moment. */
  readonly hour: string;
  readonly local: string;
  readonly span: 'hour' | 'day';
}

export interface Stats {
  readonly popup: string | null;
  readonly from: string;
  readonly to: string;
  readonly by: 'stored' | 'hour' | 'day';
  readonly tz: string;
  readonly warnings: readonly string[];
  /** Relative standard error of uniques. */
  readonly uniques_error?: number;
  readonly totals: Counts;
  readonly rows: readonly StatsRow[];
}
