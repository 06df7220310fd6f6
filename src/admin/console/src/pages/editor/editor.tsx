// The page of one popup's editor: loads what there is, and begins with a template, a copy, or what
// is there.
import './editor.css';
import './panes.css';
import { useMemo } from 'preact/hooks';
import { useSearch } from 'wouter-preact';
import { useLoad } from '../../api/load';
import { may } from '../../api/session';
import type { PageProps } from '../../shell/pages';
import { LinkButton } from '../../ui/button';
import { Empty, Failure, Skeleton } from '../../ui/notice';
import { PageHead } from '../../ui/page';
import { freeId, TEMPLATES } from './model/templates';
import { laidOut, withValue } from './model/text';
import { NewPopup } from './new';
import { isTaken, loadBoth } from './requests';
import { EditorState, type Start } from './state';
import { Workbench } from './workbench';

export default function Editor({ params }: PageProps) {
  const search = new URLSearchParams(useSearch());
  const [begin, copy] = [search.get('begin'), search.get('copy')];
  const id = params['id'];
  if (id === undefined && begin === null && copy === null) return <NewPopup />;
  const key = id ?? `new ${begin ?? ''} ${copy ?? ''}`;
  return (
    <Loaded
      key={key}
      name={key}
      load={() => (id === undefined ? startNew(begin, copy) : start(id))}
    />
  );
}

/** What is there of a popup; null if nothing is. */
async function start(id: string): Promise<Start | null> {
  const { live, draft } = await loadBoth(id);
  if (!live && !draft) return null;
  const readOnly = live?.origin === 'file' || !may('edit');
  const text = draft?.text ?? live?.text ?? '{}\n';
  return { id, live, draft, text, isNew: false, readOnly };
}

/** A new popup, with an id that is free. */
async function startNew(begin: string | null, copy: string | null): Promise<Start | null> {
  const template = TEMPLATES.find(({ style }) => style === begin);
  let text = laidOut(JSON.stringify(template?.definition ?? { id: 'new-popup', content: {} }));
  let id = String(template?.definition['id'] ?? 'new-popup');
  if (copy !== null) {
    const { draft, live } = await loadBoth(copy);
    const copied = draft ?? live;
    if (!copied) return null;
    [id, text] = [`${copy.slice(0, 56)}-copy`, copied.text];
  }
  const free = await freeId(id, isTaken);
  const named = withValue(text, ['id'], free);
  return { id: free, live: null, draft: null, text: named, isNew: true, readOnly: !may('edit') };
}

function Loaded({ name, load }: { name: string; load: () => Promise<Start | null> }) {
  const loaded = useLoad(name, load);
  // A node that comes back is asked again; what is typed here stays.
  const first = loaded.value !== undefined;
  const state = useMemo(() => (loaded.value ? new EditorState(loaded.value) : null), [first]);
  if (state) return <Workbench state={state} name={name} />;
  if (loaded.value === null) {
    return (
      <Empty
        title="There is no such popup"
        actions={<LinkButton href="/popups">Popups</LinkButton>}
      >
        <h1 class="hidden">No popup</h1>
        <p>Its id may be mistyped, or its draft was discarded.</p>
      </Empty>
    );
  }
  return (
    <>
      <PageHead title="Edit" back={{ href: '/popups', label: 'Popups' }} />
      {loaded.error !== null ? (
        <Failure error={loaded.error} what="Not loaded" />
      ) : (
        <Skeleton lines={8} />
      )}
    </>
  );
}
