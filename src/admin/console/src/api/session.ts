// Who looks at the console, and what they may do.
import { signal } from '@preact/signals';
import { ask, get, onSignedOut } from './client';

export type Right = 'read' | 'switch' | 'edit' | 'run' | 'own';

export interface Session {
  readonly name: string | null;
  readonly role: 'viewer' | 'editor' | 'operator' | 'admin' | null;
  /** When the token's time is up; null for never. */
  readonly expires_at: string | null;
  /** Whether everybody who can come here may do everything. */
  readonly owner: boolean;
  readonly read_only: boolean;
  /** Whether this listener asks for a token. */
  readonly login: boolean;
  readonly may: readonly Right[];
  readonly version: string;
  readonly node: string;
}

/** `undefined` until the node has said it. */
export const session = signal<Session | undefined>(undefined);

export function may(right: Right): boolean {
  return session.value?.may.includes(right) ?? false;
}

export async function loadSession(): Promise<void> {
  session.value = await get<Session>('/v1/session');
}

export async function signIn(token: string): Promise<void> {
  await ask('POST', '/v1/session', { body: { token } });
  await loadSession();
}

export async function signOut(): Promise<void> {
  await ask('DELETE', '/v1/session');
  await loadSession();
}

onSignedOut.call = () => {
  void loadSession().catch(() => {});
};
