// Every page: where it is, what it is called, and its code, which is loaded when it is looked at;
// the first one's is there with the frame.
import type { ComponentType } from 'preact';
import type { Right } from '../api/session';
import Login from '../pages/access/login';
import Popups from '../pages/popups/list';

export interface PageProps {
  /** What the path names: `id`, `user`. */
  readonly params: Record<string, string>;
}

export interface Page {
  readonly path: string;
  readonly title: string;
  /** Whether it stands in the navigation, and its key after `g`. */
  readonly key?: string;
  readonly needs: Right;
  /** Where it comes with the frame. */
  readonly here?: ComponentType<PageProps>;
  readonly load?: () => Promise<{ default: ComponentType<PageProps> }>;
}

export const PAGES: readonly Page[] = [
  { path: '/popups', title: 'Popups', key: 'p', needs: 'read', here: Popups },
  { path: '/new', title: 'New popup', needs: 'edit', load: () => import('../pages/editor/editor') },
  { path: '/popups/:id/edit', title: 'Edit', needs: 'read', load: () => import('../pages/editor/editor') },
  { path: '/popups/:id/:part?', title: 'Popup', needs: 'read', load: () => import('../pages/popups/popup') },
  { path: '/statistics', title: 'Statistics', key: 's', needs: 'read', load: () => import('../pages/statistics/statistics') },
  { path: '/users/:user?', title: 'Users', key: 'u', needs: 'read', load: () => import('../pages/user/user') },
  { path: '/system', title: 'System', key: 'y', needs: 'read', load: () => import('../pages/system/system') },
  { path: '/access', title: 'Access', key: 'a', needs: 'read', load: () => import('../pages/access/access') },
  { path: '/login', title: 'Sign in', needs: 'read', here: Login },
];
