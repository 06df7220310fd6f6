// What the editor asks of the node. Definitions come and go as texts, so that no digit is lost.
import { ask, get, Refusal } from '../../api/client';
import { find, parseJson } from './model/json';
import { laidOut } from './model/text';
import type { Problem } from './model/hints';

/** A popup as decisions go by it. */
export interface LivePopup {
  readonly text: string;
  readonly version: number;
  readonly origin: 'file' | 'api';
  readonly status: Status;
  readonly own: Status;
  /** Whether it has a draft; null where this node does not say so here. */
  readonly hasDraft: boolean | null;
}

export type Status = 'draft' | 'live' | 'paused' | 'archived';

/** What a popup is to become. */
export interface Draft {
  readonly text: string;
  /** Opaque; another one with each save. */
  readonly revision: string | null;
  /** The live version it was made from; 0: there was none. */
  readonly base: number;
  readonly at: string;
  readonly who: string;
}

const path = (id: string) => `/v1/popups/${encodeURIComponent(id)}`;

/** The definition inside an answer, laid out. */
function definitionIn(answer: string, ...at: (string | number)[]): string {
  const { node } = parseJson(answer);
  const found = node && find(node, [...at, 'definition']);
  return found ? laidOut(answer.slice(found.start, found.end)) : '{}\n';
}

async function unlessMissing<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) return null;
    throw error;
  }
}

interface PopupAnswer {
  readonly version: number;
  readonly origin: 'file' | 'api';
  readonly status: Status;
  readonly effective_status: Status;
  readonly draft?: unknown;
}

function popupOf({ value, text }: { value: PopupAnswer; text: string }): LivePopup {
  const { version, origin, status, effective_status, draft } = value;
  const hasDraft = draft === undefined ? null : draft !== null;
  const definition = definitionIn(text);
  return { text: definition, version, origin, status: effective_status, own: status, hasDraft };
}

/** The popup; null where the id has none. */
export async function loadPopup(id: string, signal?: AbortSignal): Promise<LivePopup | null> {
  const found = await unlessMissing(ask<PopupAnswer>('GET', path(id), signal ? { signal } : {}));
  return found && popupOf(found);
}

interface DraftAnswer {
  readonly at: string;
  readonly who: string;
  readonly revision?: number;
  readonly base_version?: number | null;
  readonly live_version: number | null;
}

function draftOf(reply: { value: DraftAnswer; text: string; tag: string | null }): Draft {
  const { at, who, base_version, live_version, revision } = reply.value;
  const known = reply.tag ?? (revision === undefined ? null : String(revision));
  const base = base_version ?? live_version ?? 0;
  return { text: definitionIn(reply.text), revision: known, base, at, who };
}

/** The draft; null where there is none. */
export async function loadDraft(id: string, signal?: AbortSignal): Promise<Draft | null> {
  const asking = signal ? { signal } : {};
  const found = await unlessMissing(ask<DraftAnswer>('GET', `${path(id)}/draft`, asking));
  return found && draftOf(found);
}

/** Keeps a draft in the place of that revision; null: where there is none. */
export async function saveDraft(
  id: string,
  json: string,
  from: { revision: string | null; base: number },
): Promise<Draft> {
  const asking = from.revision ? { json, ifMatch: from.revision } : { json, ifNone: true };
  const reply = await ask<DraftAnswer>(
    'PUT',
    `${path(id)}/draft?base_version=${from.base}`,
    asking,
  );
  return draftOf(reply);
}

export async function deleteDraft(id: string, revision: string | null): Promise<void> {
  await ask('DELETE', `${path(id)}/draft`, { ifMatch: revision });
}

/** Makes that revision of the draft the popup; over a newer version only if it is named. */
export async function publish(
  id: string,
  revision: string | null,
  over: number | null,
): Promise<LivePopup> {
  const query = revision ? `?revision=${encodeURIComponent(revision)}` : '';
  const ifMatch = over === null ? null : String(over);
  return popupOf(await ask<PopupAnswer>('POST', `${path(id)}/publish${query}`, { ifMatch }));
}

export async function rollBack(id: string, version: number, from: number): Promise<LivePopup> {
  const asking = { body: { version }, ifMatch: String(from) };
  return popupOf(await ask<PopupAnswer>('POST', `${path(id)}/rollback`, asking));
}

export interface Checked {
  readonly problems: readonly Problem[];
}

interface CheckAnswer {
  readonly errors: readonly { field: string; message: string }[];
  readonly warnings: readonly { field: string; code: string; message: string }[];
}

/** Warnings that the node words for who writes definitions, for who fills in the form. */
const PLAIN: Readonly<Record<string, string>> = {
  target_never_matches: 'These rules contradict each other, so nobody sees the popup.',
  rollout_empty: 'This share is so small that nobody is in it.',
  ended: 'This moment is over, so nobody sees the popup. Set a later one, or none.',
  window_never_opens: 'No window opens between the start and the end, so nobody sees the popup.',
  number_as_text:
    'A number is compared as a text here, letter by letter, so that 10 comes before 9. In the ' +
    'JSON, take the quotes around it away.',
  link_runs:
    'A link of this popup is a script (javascript: or the like) and no address. Pages leave it ' +
    'out, or run it. Write an address that begins with https://',
};

/** What the node says of a text; null where this node can't be asked. */
export async function check(
  id: string,
  json: string,
  signal: AbortSignal,
): Promise<readonly Problem[] | null> {
  const query = id ? `?id=${encodeURIComponent(id)}` : '';
  const reply = await unlessMissing(
    ask<CheckAnswer>('POST', `/v1/check${query}`, { json, signal }),
  );
  if (!reply) return null;
  const { errors, warnings } = reply.value;
  return [
    ...errors.map(({ field, message }): Problem => ({ field, message, kind: 'error' })),
    ...warnings.map(
      ({ field, code, message }): Problem => ({
        field,
        message: PLAIN[code] ?? message,
        kind: 'warning',
      }),
    ),
  ];
}

/** The errors of a refused text, with their fields, as lines of the node have them. */
export function problemsOf(refusal: Refusal): Problem[] {
  return refusal.lines.map((line) => {
    const told = /^(?:line \d+: )?(?:popup "[^"]*": )?(?:([\w.[\]-]+): )?([^]*)$/.exec(line);
    const [, field = '', message = line] = told ?? [];
    return { field, message, kind: 'error' };
  });
}

export interface Version {
  readonly version: number;
  readonly change: string;
  readonly at: string;
  readonly who: string;
  readonly text: string;
}

interface HistoryAnswer {
  readonly history: readonly Omit<Version, 'text'>[];
  readonly next_before: number | null;
}

/** Changes of a popup, newest first; the first page, or the one before a mark. */
export async function loadVersions(
  id: string,
  before: number | null = null,
): Promise<{ versions: Version[]; next: number | null }> {
  const query = before === null ? '' : `&before=${before}`;
  const reply = await ask<HistoryAnswer>('GET', `${path(id)}/history?limit=50${query}`);
  const versions = reply.value.history.map((line, index) => ({
    ...line,
    text: definitionIn(reply.text, 'history', index),
  }));
  return { versions, next: reply.value.next_before };
}

/** Pages of a history that are looked through for one version. */
const PAGES_MAX = 10;

/** The text of a version; null where it is too far back, or there was none. */
export async function textOfVersion(id: string, version: number): Promise<string | null> {
  if (version === 0) return null;
  let before: number | null = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { versions, next }: Awaited<ReturnType<typeof loadVersions>> = await loadVersions(
      id,
      before,
    );
    const found = versions.find((line) => line.version === version && line.change !== 'override');
    if (found) return found.text;
    if (next === null) return null;
    before = next;
  }
  return null;
}

/** Whom a popup is looked at for. */
export interface Visitor {
  readonly user: string;
  readonly placement: string;
  readonly session: string;
  readonly locale: string;
  readonly tz: string;
  readonly attrs: Record<string, unknown>;
  /** RFC 3339, or empty for now. */
  readonly at: string;
}

export interface Gate {
  readonly gate: string;
  readonly opens_at: string | null;
  readonly why: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

export interface Preview {
  readonly popup: { readonly variant: string | null; readonly content: Record<string, unknown> };
  readonly status: Status;
  readonly would_pass: boolean;
  readonly gates: readonly Gate[];
  readonly warnings: readonly string[];
}

/** Whether somebody would see a definition, and why not. Records nothing. */
export async function preview(
  json: string,
  visitor: Visitor,
  signal?: AbortSignal,
): Promise<Preview> {
  const given = Object.entries(visitor).filter(
    ([name, value]) => name !== 'attrs' && value !== '',
  ) as [string, string][];
  const members = given.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const attrs = `"attrs":${JSON.stringify(visitor.attrs)}`;
  const body = `{${[`"popup":${json.trim()}`, attrs, ...members].join(',')}}`;
  const asking = signal ? { json: body, signal } : { json: body };
  return (await ask<Preview>('POST', '/v1/preview', asking)).value;
}

/** What an id has: a popup, a draft, or both. */
export async function loadBoth(
  id: string,
): Promise<{ live: LivePopup | null; draft: Draft | null }> {
  const live = await loadPopup(id);
  return { live, draft: live?.hasDraft === false ? null : await loadDraft(id) };
}

/** Whether an id is a popup's or a draft's. */
export async function isTaken(id: string): Promise<boolean> {
  return (await loadPopup(id)) !== null || (await loadDraft(id)) !== null;
}

/** Placements that popups of this node have, for suggestions. */
export async function knownPlacements(): Promise<string[]> {
  const answer = await get<{ popups: { placement: string[] }[] }>('/v1/popups', { limit: 200 });
  return [...new Set(answer.popups.flatMap(({ placement }) => placement))].toSorted();
}
