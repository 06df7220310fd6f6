// The frame of every page: navigation, who is here, and the page that the path names.
import './shell.css';
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Link, Route, Router, Switch, useLocation } from 'wouter-preact';
import { loadSession, session, signOut } from '../api/session';
import Login from '../pages/access/login';
import { PAGES, type Page, type PageProps } from './pages';

export function Console() {
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    loadSession().catch(() => setFailed(true));
  }, []);
  const who = session.value;
  if (failed && !who) return <p role="alert">The node does not answer.</p>;
  if (!who) return null;
  if (who.login && who.may.length === 0) return <Login params={{}} />;
  return (
    <Router base="/console">
      <Navigation />
      <main id="page" tabIndex={-1}>
        <Switch>
          {PAGES.map((page) => (
            <Route key={page.path} path={page.path}>
              {(params: Record<string, string>) => <Loaded page={page} params={params} />}
            </Route>
          ))}
          <Route path="/">
            <First />
          </Route>
          <Route>
            <p>There is no such page.</p>
          </Route>
        </Switch>
      </main>
    </Router>
  );
}

function First() {
  const [, go] = useLocation();
  useEffect(() => go('/popups', { replace: true }), []);
  return null;
}

function Navigation() {
  const [path] = useLocation();
  const who = session.value;
  return (
    <header class="shell-header">
      <Link href="/popups" class="shell-mark">
        nudged
      </Link>
      <nav aria-label="Pages">
        {PAGES.filter((page) => page.key).map((page) => {
          const href = page.path.split('/:')[0] ?? page.path;
          const current = path === href || path.startsWith(`${href}/`);
          return (
            <Link key={href} href={href} aria-current={current ? 'page' : undefined}>
              {page.title}
            </Link>
          );
        })}
      </nav>
      {who && !who.owner && (
        <button type="button" onClick={() => void signOut()}>
          Sign out {who.name}
        </button>
      )}
    </header>
  );
}

function Loaded({ page, params }: { page: Page; params: Record<string, string> }) {
  const [Shown, setShown] = useState<ComponentType<PageProps> | null>(null);
  useEffect(() => {
    document.title = `${page.title} · nudged`;
    void page.load().then((loaded) => setShown(() => loaded.default));
  }, [page]);
  return Shown && <Shown params={params} />;
}
