// The frame of every page: navigation, who is here, whether the node answers, and the page that
// the path names.
import './shell.css';
import './layers.css';
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Link, matchRoute, Route, Router, Switch, useLocation, useRouter } from 'wouter-preact';
import { askAgain, returns } from '../api/connection';
import { loadSession, may, session } from '../api/session';
import Login from '../pages/access/login';
import { YoursEnds } from '../pages/access/ends';
import { Button } from '../ui/button';
import { giveFocusBack } from '../ui/focus';
import { listenForKeys } from '../ui/keys';
import { Empty, Notice, Skeleton } from '../ui/notice';
import { PageHead } from '../ui/page';
import { Toasts } from '../ui/toast';
import { userOfPath } from '../ui/user-path';
import { begun, FIRST } from './begin';
import { ConnectionBar } from './connection-bar';
import { FrameKeys } from './frame-keys';
import { Navigation } from './navigation';
import { PAGES, type Page, type PageProps } from './pages';

export function Console() {
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    (returns.value === 0 ? begun : loadSession()).then(
      () => setFailed(false),
      () => setFailed(true),
    );
  }, [returns.value]);
  useEffect(() => listenForKeys(), []);
  const { parser } = useRouter();
  useEffect(() => {
    // What will be shown is on its way while the node still says who looks at it.
    const path = location.pathname.slice('/console'.length);
    const page = PAGES.find((known) => matchRoute(parser, known.path, path)[0]);
    page?.load?.().catch(() => {});
  }, []);
  const who = session.value;
  if (failed && !who) return <Away />;
  if (!who) return null;
  if (who.login && who.may.length === 0) {
    return (
      <Router base="/console">
        <Login params={{}} />
        <Toasts />
      </Router>
    );
  }
  return (
    <Router base="/console">
      <a class="skip" href="#page">
        Skip to the page
      </a>
      <div class="frame">
        <Navigation />
        <div class="frame-page">
          <ConnectionBar />
          <main id="page" tabIndex={-1}>
            <YoursEnds />
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
                <Unknown />
              </Route>
            </Switch>
          </main>
        </div>
      </div>
      <FrameKeys />
      <Toasts />
    </Router>
  );
}

function Away() {
  return (
    <main class="away">
      <Empty
        title="The node does not answer"
        actions={<Button onClick={() => void askAgain()}>Try now</Button>}
      >
        <h1 class="hidden">nudged</h1>
        <p>It may be restarting. This page asks again by itself.</p>
      </Empty>
    </main>
  );
}

function Unknown() {
  return (
    <>
      <PageHead title="There is no such page" />
      <p>The address may be mistyped, or of another version of nudged.</p>
      <p>
        <Link href="/popups">All popups</Link>
      </p>
    </>
  );
}

function First() {
  const [, go] = useLocation();
  useEffect(() => go(FIRST, { replace: true }), []);
  return null;
}

/** What has been loaded already is shown at once. */
const SHOWN = new Map<Page, ComponentType<PageProps>>(
  PAGES.flatMap((page) => (page.here ? [[page, page.here] as const] : [])),
);

function Loaded({ page, params }: { page: Page; params: Record<string, string> }) {
  const [, setTurn] = useState(0);
  const [failed, setFailed] = useState(false);
  const subject = params['user'] === undefined ? params['id'] : userOfPath();
  useEffect(() => {
    document.title = `${subject ? `${subject} · ` : ''}${page.title} · nudged`;
  }, [page, subject]);
  useFocusOf(page, subject);
  useEffect(() => {
    setFailed(false);
    if (SHOWN.has(page)) return;
    page.load?.().then(
      (loaded) => {
        SHOWN.set(page, loaded.default);
        setTurn((turn) => turn + 1);
      },
      () => setFailed(true),
    );
  }, [page, returns.value]);
  if (!may(page.needs)) return <Forbidden title={page.title} />;
  const Shown = SHOWN.get(page);
  if (Shown) return <Shown params={params} />;
  if (!failed) return <Skeleton lines={4} />;
  return (
    <Notice
      tone="bad"
      title="This page could not be loaded"
      actions={<Button onClick={() => location.reload()}>Load the console again</Button>}
    >
      <p>The node does not answer, or has another version of the console by now.</p>
    </Notice>
  );
}

function Forbidden({ title }: { title: string }) {
  return (
    <>
      <PageHead title={title} />
      <p>Your token has no right to this page. Ask who runs this node for another role.</p>
    </>
  );
}

/** Whether a page has been shown: the first one leaves the focus to the browser. */
let hasBegun = false;

/** Where the page becomes another, who uses keys or hears it goes on at its beginning. */
function useFocusOf(page: Page, subject: string | undefined): void {
  useEffect(() => {
    if (hasBegun) giveFocusBack(null);
    hasBegun = true;
    scrollTo(0, 0);
  }, [page.title, subject]);
}
