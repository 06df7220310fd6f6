// Why a popup is held back, and what happened to a user, in the words of who writes popups. Moments
// stay as the node has them (RFC 3339); who shows a sentence puts them into words.
import type { Window } from '../../api/popups';
import { operatorOf } from '../editor/model/target';
import { durationWords, listWords, times, windowWords } from '../popups/in-words';
import type { Candidate, TimelineEntry } from './remembered';

type Facts = Readonly<Record<string, unknown>>;

const text = (value: unknown) => (typeof value === 'string' ? value : '');
const number = (value: unknown) => (typeof value === 'number' ? value : 0);
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** By gate; where a node says less than this needs, its own sentence stays. */
const OF_GATES: Readonly<Record<string, (facts: Facts) => string>> = {
  window: (facts) => {
    const windows = list(facts['windows']).map((window) => windowWords(window as Window));
    return `It is ${capital(text(facts['local_time']))} in ${text(facts['tz'])}; it is for ${listWords(windows, 'or')}${moreOf(facts['windows_left_out'])}`;
  },
  target: (facts) => {
    const rules = list(facts['rules']).map((rule) => ruleWords(rule as Facts));
    return rules.includes('') ? '' : rules.join('; ') + moreOf(facts['rules_left_out']);
  },
  rollout: ({ rollout, bucket }) =>
    `It is for the first ${number(rollout)} % of users, and this one is at ${number(bucket)} %`,
  max_shows: (facts) =>
    `Shown ${times(number(facts['shows']))}, the latest at ${text(facts['last_shown_at'])}; ` +
    `a user may see it ${times(number(facts['max_shows']))}`,
  gap: gapWords,
  cap: (facts) =>
    list(facts['caps'])
      .map((cap) => capWords(cap as Facts))
      .join('; '),
  quiet: (facts) =>
    `A popup was shown at ${text(facts['last_shown_at'])}; the next comes ` +
    `${durationWords(text(facts['quiet_time']))} after it at the earliest`,
  day: (facts) =>
    `They saw ${popups(facts['shows'])} today, the latest at ${text(facts['last_shown_at'])}; ` +
    `a user may see ${number(facts['max_per_day'])} a day`,
  session: (facts) =>
    `They saw ${popups(facts['shows'])} in this session, the latest at ` +
    `${text(facts['last_shown_at'])}; a user may see ${number(facts['max_per_session'])} in one`,
};

/** Why a gate is closed. */
export function heldWords({ gate, why = '', facts }: Omit<Candidate, 'id'>): string {
  // The moment at which it opens stands beside it.
  const own = capital(why.replace(/; this opens at \S+$/, ''));
  const words = facts && OF_GATES[gate ?? '']?.(facts);
  return words || own;
}

function gapWords(facts: Facts): string {
  const outcome = text(facts['outcome']);
  const shown = `Shown at ${text(facts['shown_at'])}: ${restWords(text(facts['after_shown']))}`;
  if (!outcome) return shown;
  const at = facts['outcome_inferred'] ? '' : ` at ${text(facts['outcome_at'])}`;
  return `${shown}; ${outcome}${at}: ${restWords(text(facts[`after_${outcome}`]))}`;
}

function restWords(gap: string): string {
  return gap === 'never' ? 'never again' : `not again for ${durationWords(gap)}`;
}

function capWords({ n, per, shows }: Facts): string {
  const moments = listWords(list(shows).map(text), 'and');
  return `Shown at ${moments}; at most ${times(number(n))} in any ${durationWords(text(per))}`;
}

/** `It is for users whose plan is “pro”; this one’s is “free”`; empty where it is no such rule. */
function ruleWords({ attr, op, value, negated, got, state }: Facts): string {
  const words = operatorOf(op)?.words;
  if (!words || typeof attr !== 'string') return '';
  const wanted = op === 'exists' ? (value === false ? 'is absent' : words) : `${words} ${said(value)}`;
  const has = state === 'absent' ? 'none is told of this one' : `this one’s is ${said(got)}`;
  const kind = state === 'other_type' ? ', which can’t be compared' : '';
  return `It is ${negated ? 'not ' : ''}for users whose ${attr} ${wanted}; ${has}${kind}`;
}

function said(value: unknown): string {
  if (Array.isArray(value)) return listWords(value.map(said), 'or');
  return typeof value === 'string' ? `“${value}”` : JSON.stringify(value);
}

function moreOf(left: unknown): string {
  return number(left) > 0 ? `, and ${number(left)} more` : '';
}

function popups(shows: unknown): string {
  return number(shows) === 1 ? '1 popup' : `${number(shows)} popups`;
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What an entry of the timeline means. */
export function entryWords({ action, why }: TimelineEntry): string {
  if (action === 'shown') return 'Their page says that it was on screen';
  const [, gap = ''] = /it rests for (\S+) \(/.exec(why) ?? [];
  const isOver = why.includes('it does not return (');
  const rest = isOver || gap ? restWords(isOver ? 'never' : gap) : '';
  if (action !== 'decided') return capital(rest || why);
  return `Nothing held it back, and none that could be shown came before it${rest && `; ${rest}`}`;
}
