// What counts say, and how sure they are: intervals of proportions, and of how one compares to
// another. Each show is taken as independent of the others.

/** The quantile of the normal distribution that leaves 2.5 % at each end. */
const Z95 = 1.959963984540054;

/** Fewer successes or failures than this, and an interval of their ratio is no more than noise. */
const EVENTS_MIN = 5;

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Wilson's score interval of a proportion, 95 %: right for few counts too, and never below 0 or
 * above 1. Null where there is nothing to count, or the counts can't be.
 */
export function wilson(successes: number, all: number): Interval | null {
  if (!(all > 0) || successes < 0 || successes > all) return null;
  const proportion = successes / all;
  const square = Z95 * Z95;
  const middle = (proportion + square / (2 * all)) / (1 + square / all);
  const spread = Math.sqrt((proportion * (1 - proportion)) / all + square / (4 * all * all));
  const half = (Z95 / (1 + square / all)) * spread;
  return {
    // At the ends the formula is exact, and floating point is not.
    low: successes === 0 ? 0 : Math.max(0, middle - half),
    high: successes === all ? 1 : Math.min(1, middle + half),
  };
}

export interface Counted {
  readonly successes: number;
  readonly all: number;
}

export type Lift =
  | { readonly kind: 'known'; readonly value: number; readonly interval: Interval }
  | { readonly kind: 'too few' };

/**
 * By how much a proportion is above another, relative to it (0.1: a tenth above): the ratio of the
 * two with its interval on the logarithmic scale (Katz), 95 %, less 1.
 */
export function lift(one: Counted, base: Counted): Lift {
  if (!isEnough(one) || !isEnough(base)) return { kind: 'too few' };
  const ratio = one.successes / one.all / (base.successes / base.all);
  const deviation = Math.sqrt(
    1 / one.successes - 1 / one.all + 1 / base.successes - 1 / base.all,
  );
  const factor = Math.exp(Z95 * deviation);
  return {
    kind: 'known',
    value: ratio - 1,
    interval: { low: ratio / factor - 1, high: ratio * factor - 1 },
  };
}

function isEnough({ successes, all }: Counted): boolean {
  return successes >= EVENTS_MIN && all - successes >= EVENTS_MIN;
}

/** Whether an interval of a lift leaves open which of the two is better. */
export function isOpen({ low, high }: Interval): boolean {
  return low <= 0 && high >= 0;
}
