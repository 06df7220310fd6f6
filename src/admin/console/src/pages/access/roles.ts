// What roles may do, as the node has it: rights are not stacked on one another.
import type { Right, Session } from '../../api/session';

export type Role = NonNullable<Session['role']>;

export const ROLES: readonly Role[] = ['viewer', 'editor', 'operator', 'admin'];

interface RightOf {
  readonly right: Right;
  readonly words: string;
  readonly roles: readonly Role[];
}

export const RIGHTS: readonly RightOf[] = [
  { right: 'read', words: 'See popups, statistics, users and the system', roles: ROLES },
  {
    right: 'switch',
    words: 'Pause, resume and archive popups',
    roles: ['editor', 'operator', 'admin'],
  },
  { right: 'edit', words: 'Create, change and publish popups', roles: ['editor', 'admin'] },
  { right: 'run', words: 'Reload the configuration, run doctor', roles: ['operator', 'admin'] },
  { right: 'own', words: 'Erase users, make and revoke tokens, back up', roles: ['admin'] },
];

/** For whom a role is. */
export const FOR: Readonly<Record<Role, string>> = {
  viewer: 'For whoever looks: sees everything but tokens, changes nothing.',
  editor: 'For whoever makes popups: changes, publishes and pauses them.',
  operator: 'For whoever runs nodes: pauses popups and reloads, but edits none.',
  admin: 'For owners: everything, with erasing users and making tokens.',
};

/** The roles that have a right, in a sentence. */
export function rolesWith(right: Right): string {
  const found = RIGHTS.find((one) => one.right === right);
  return (found?.roles ?? []).join(' or ');
}
