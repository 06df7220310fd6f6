// What the node answers of a user, and what the console asks of it.
import { get } from '../../api/client';

export interface Show {
  readonly number: number;
  readonly at: string;
  readonly actions: readonly string[];
}

export interface PopupMemory {
  readonly id: string;
  readonly shows: number;
  /** The latest ones, as many as gates need. */
  readonly last_shows: readonly Show[];
  readonly outcome: string | null;
  readonly outcome_at: string | null;
  /** A moment, `never`, or null where no catalog has the popup any more. */
  readonly next_show_at: string | null;
}

export interface UserState {
  readonly user: string;
  readonly shard: number;
  readonly revision: { readonly epoch: number; readonly counter: number };
  readonly clocks: {
    readonly last_counted_at: string | null;
    readonly day_shows: number;
    readonly session_shows: number;
  };
  readonly popups: readonly PopupMemory[];
  /** Null while SQL does not answer. */
  readonly records: readonly unknown[] | null;
}

export interface TimelineEntry {
  readonly kind: 'decision' | 'event' | 'change';
  readonly at: string;
  readonly acted_at?: string;
  readonly action?: string;
  readonly change?: string;
  readonly popup: string;
  readonly version: number;
  readonly variant?: string | null;
  readonly who?: string;
  readonly why: string;
}

export interface TimelinePage {
  readonly timeline: readonly TimelineEntry[];
  readonly next_before: string | null;
}

export interface Candidate {
  readonly id: string;
  /** Null where it passes. */
  readonly gate: string | null;
  readonly opens_at?: string | null;
  readonly why?: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

export interface Explanation {
  readonly user: string;
  readonly placement: string;
  readonly at: string;
  readonly tz: string;
  readonly popup: string | null;
  readonly variant: string | null;
  readonly reason: string | null;
  readonly next_in: number | null;
  readonly warnings: readonly string[];
  readonly candidates: readonly Candidate[];
}

export interface Erasure {
  readonly at: string;
  readonly journal_until: string;
  readonly remains_in: readonly string[];
}

export function pathOf(user: string): string {
  return `/v1/users/${encodeURIComponent(user)}`;
}

export function loadUser(user: string, signal: AbortSignal): Promise<UserState> {
  return get<UserState>(pathOf(user), {}, signal);
}

/** A page of the timeline, which begins behind `before`. */
export function loadTimeline(
  user: string,
  before: string | null,
  signal?: AbortSignal,
): Promise<TimelinePage> {
  return get<TimelinePage>(`${pathOf(user)}/timeline`, { limit: 50, before: before ?? '' }, signal);
}

/** Whether nothing at all is remembered: an unknown user is a new one. */
export function isUnknown({ clocks, popups, records }: UserState): boolean {
  return clocks.last_counted_at === null && popups.length === 0 && !records?.length;
}
