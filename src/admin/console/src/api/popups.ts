// Popups as the node tells them.
import type { PopupStatus } from '../ui/chip';
import { ask, get, Refusal } from './client';

/** How far a pause, an archive or a resume has been recorded. */
export type Place = 'memory' | 'node' | 'redis' | 'sql';

export interface DraftInfo {
  /** 0: made from nothing; null: not known. */
  readonly base_version: number | null;
  readonly revision: number;
  readonly at: string;
  readonly who: string;
}

export interface DayStats {
  readonly decided: number;
  readonly shown: number;
  readonly clicked: number;
  readonly dismissed: number;
  readonly ignored: number | null;
  readonly converted: number;
  /** Decisions by hour, oldest first; the last hour is not over. */
  readonly hours: readonly number[];
  readonly as_of: string;
}

export interface Window {
  readonly days?: readonly string[];
  readonly from?: string;
  readonly to?: string;
}

export interface Variant {
  readonly key: string;
  readonly weight?: number;
  readonly content?: Readonly<Record<string, unknown>>;
  readonly locales?: Readonly<Record<string, unknown>>;
}

/** A definition; what is absent has its default. */
export interface Definition {
  readonly id: string;
  readonly status?: PopupStatus;
  readonly placement?: readonly string[];
  readonly priority?: number;
  readonly starts_at?: string | null;
  readonly ends_at?: string | null;
  readonly windows?: readonly Window[] | null;
  readonly tz?: string | null;
  readonly max_shows?: number;
  readonly caps?: readonly { readonly n: number; readonly per: string }[];
  readonly after_shown?: string;
  readonly after_ignored?: string;
  readonly after_dismissed?: string;
  readonly after_clicked?: string;
  readonly after_converted?: string;
  readonly ignore_after?: string;
  readonly rollout?: number;
  readonly variants?: readonly Variant[];
  readonly quiet_exempt?: boolean;
  readonly on_failure?: 'hide' | 'local';
  readonly target?: unknown;
  readonly content?: Readonly<Record<string, unknown>>;
  readonly locales?: Readonly<Record<string, unknown>>;
}

export interface Popup {
  readonly id: string;
  /** 0: never published. */
  readonly version: number;
  readonly status: PopupStatus;
  readonly override: PopupStatus | null;
  readonly effective_status: PopupStatus;
  /** Deleted, or no longer in the popups file: a resume does not bring it back. */
  readonly gone: boolean;
  readonly stored: Place;
  readonly origin: 'file' | 'api';
  readonly placement: readonly string[];
  readonly priority: number;
  readonly definition: Definition;
  readonly updated_at?: string | null;
  readonly draft?: DraftInfo | null;
  readonly stats?: DayStats | null;
  readonly warnings?: readonly string[];
}

export interface PopupPage {
  readonly total: number;
  readonly popups: readonly Popup[];
  readonly next_after: string | null;
  readonly as_of?: string;
  readonly warnings?: readonly string[];
}

export interface Draft {
  readonly id: string;
  readonly revision: number;
  readonly at: string;
  readonly who: string;
  readonly live_version: number | null;
  readonly definition: Definition;
}

export interface HistoryLine {
  readonly version: number;
  readonly change: string;
  readonly at: string;
  readonly who: string;
  /** `{"member": [before, after]}` */
  readonly diff: Readonly<Record<string, readonly [unknown, unknown]>> | null;
  readonly definition: Definition | null;
}

export interface HistoryPage {
  readonly history: readonly HistoryLine[];
  readonly next_before: number | null;
}

/** A popup; one that has never been published is told as the draft it is. */
export async function loadPopup(id: string, signal: AbortSignal): Promise<Popup> {
  const path = `/v1/popups/${encodeURIComponent(id)}`;
  try {
    return await get<Popup>(path, {}, signal);
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 404) throw error;
    const draft = await get<Draft>(`${path}/draft`, {}, signal);
    const { definition } = draft;
    return {
      id,
      version: 0,
      status: 'draft',
      override: null,
      effective_status: 'draft',
      gone: false,
      stored: 'sql',
      origin: 'api',
      placement: definition.placement ?? ['home'],
      priority: definition.priority ?? 0,
      definition,
      updated_at: draft.at,
      draft: { base_version: 0, revision: draft.revision, at: draft.at, who: draft.who },
    };
  }
}

/** Takes a popup out of the catalog; where it was never published, its draft away. */
export async function deletePopup({ id, version }: Popup): Promise<void> {
  const path = `/v1/popups/${encodeURIComponent(id)}`;
  if (version === 0) await ask('DELETE', `${path}/draft`);
  else await ask('DELETE', path, { ifMatch: String(version) });
}

/** Puts a popup back that was deleted, as it was; users' histories with it are kept. */
export async function bringBack({ id, version, definition }: Popup): Promise<void> {
  const asking = { body: definition, ifMatch: String(version) };
  await ask('PUT', `/v1/popups/${encodeURIComponent(id)}`, asking);
}

/** Makes an earlier version the newest one, where `popup` is still as it was looked at. */
export async function rollBack({ id, version }: Popup, to: number): Promise<Popup> {
  const asking = { body: { version: to }, ifMatch: String(version) };
  return (await ask<Popup>('POST', `/v1/popups/${encodeURIComponent(id)}/rollback`, asking)).value;
}

/** The title by which people know it: of its content, or of its first variant's. */
export function titleOf({ content, variants }: Definition): string {
  const title = (content ?? variants?.[0]?.content)?.['title'];
  return typeof title === 'string' ? title : '';
}

/** What can be done to it at once: a pause is ended, or put on what is live. */
export function switchFor(popup: Popup): 'pause' | 'resume' | null {
  if (popup.version === 0) return null;
  if (popup.override) return popup.override === 'paused' ? 'resume' : null;
  return popup.effective_status === 'live' ? 'pause' : null;
}
