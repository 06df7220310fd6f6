// Requests to the node that served the console. Its errors are `{"error":{"code","field"},
// "errors":[...]}`, and are thrown as `Refusal`.

import { isAway, tellAnswered, tellUnreachable } from './connection';

/** What the node refused, or that it can't be reached (`status` 0). */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly field: string | null,
    readonly lines: readonly string[],
    /** The whole body, for answers that tell more. */
    readonly body: unknown = null,
  ) {
    super(lines[0] ?? WORDS[code] ?? code);
  }
}

/** What codes mean to somebody who did not write the API. */
const WORDS: Record<string, string> = {
  unreachable: 'The node does not answer. It may be restarting, or the network is down.',
  wrong_token: 'This token is not known here.',
  token_expired: 'The time of this token is up.',
  role_required: 'Your token has no right to do this.',
  read_only: 'The console of this node is read-only without a token.',
  busy: 'The node is busy with another change. Try again in a few seconds.',
  not_found: 'There is nothing of this name.',
  too_many_refusals: 'Too many failed attempts at once. Wait a second.',
};

export interface Reply<T> {
  readonly value: T;
  /** The entity tag, without quotes. */
  readonly tag: string | null;
  /** The body as it came: for numbers beyond those of JavaScript. */
  readonly text: string;
}

interface Asking {
  readonly body?: unknown;
  /** A body that is JSON already. */
  readonly json?: string;
  readonly ifMatch?: string | null;
  /** Only where there is nothing yet. */
  readonly ifNone?: boolean;
  readonly signal?: AbortSignal;
}

/** Called when a session has ended, none is there, or it may no longer what it did. */
export const onSignedOut = { call: (): void => {} };

/** Asks the node; the path starts with `/`. */
export async function ask<T>(method: string, path: string, asking: Asking = {}): Promise<Reply<T>> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  const sent = asking.json ?? (asking.body === undefined ? null : JSON.stringify(asking.body));
  if (sent !== null) headers['Content-Type'] = 'application/json';
  if (asking.ifMatch) headers['If-Match'] = `"${asking.ifMatch}"`;
  if (asking.ifNone) headers['If-None-Match'] = '*';
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: sent,
      signal: asking.signal ?? null,
      credentials: 'same-origin',
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    tellUnreachable();
    throw new Refusal(0, 'unreachable', null, []);
  }
  if (isAway(response.status)) {
    tellUnreachable();
    throw new Refusal(response.status, 'unreachable', null, []);
  }
  tellAnswered();
  const text = await response.text();
  const body = read(text);
  if (!response.ok) {
    const { code } = (body as { error?: { code?: string } } | null)?.error ?? {};
    // The role, or what the console lets people do, is another by now: what is offered changes.
    const isOther = response.status === 401 || code === 'role_required' || code === 'read_only';
    if (isOther && path !== '/v1/session') onSignedOut.call();
    throw refusal(response.status, body);
  }
  const tag = response.headers.get('ETag')?.replaceAll('"', '') ?? null;
  return { value: body as T, tag, text };
}

type Query = Record<string, string | number | undefined>;

/** Asks with GET; the parameters that are there become the query. */
export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const target = withQuery(path, query);
  const asked = early.get(target) as Promise<T> | undefined;
  early.clear();
  if (asked) return asked;
  return (await ask<T>('GET', target, signal ? { signal } : {})).value;
}

/** Answers on their way that nobody has asked for yet. */
const early = new Map<string, Promise<unknown>>();

/** Asks ahead of the `get` that comes next, which is given the answer if it asks the same. */
export function getEarly(path: string, query: Query): void {
  const target = withQuery(path, query);
  const answer = ask('GET', target).then(({ value }) => value);
  // Whoever is given it is told why it failed.
  answer.catch(() => {});
  early.set(target, answer);
}

function withQuery(path: string, query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** What an answer refuses; for those who ask with `fetch` themselves. */
export async function refusalOf(response: Response): Promise<Refusal> {
  if (response.status === 401) onSignedOut.call();
  return refusal(response.status, read(await response.text()));
}

function read(text: string): unknown {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

function refusal(status: number, body: unknown): Refusal {
  const told = (body ?? {}) as {
    error?: { code?: string; field?: string | null };
    errors?: string[];
  };
  const { code = `status ${status}`, field = null } = told.error ?? {};
  return new Refusal(status, code, field ?? null, told.errors ?? [], body);
}
