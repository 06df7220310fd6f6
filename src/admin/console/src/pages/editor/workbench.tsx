// The editor itself: the form at one side, and JSON, preview, audience or changes at the other.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Tabs } from '../../ui/tabs';
import { Audience } from './audience';
import { Diff } from './diff';
import { DocumentContext } from './document';
import { Contents } from './form/content';
import { Delivery } from './form/delivery';
import { Frequency } from './form/frequency';
import { Identity } from './form/identity';
import { ScheduleForm } from './form/schedule';
import { newShown, ShownContext } from './form/shown';
import { Target } from './form/target';
import { JsonPane } from './json/pane';
import { useCheck, useKeeping } from './keeping';
import { parseJson, valueOf } from './model/json';
import { Preview } from './preview/preview';
import { Head } from './head';
import { focusField } from './problems';
import { Kept, Notes } from './standing';
import type { EditorState } from './state';

const PANES = ['form', 'preview', 'json', 'audience', 'changes'] as const;
type Pane = (typeof PANES)[number];
const PANE_NAMES: Record<Pane, string> = {
  form: 'Form',
  preview: 'Preview',
  json: 'JSON',
  audience: 'Who sees it',
  changes: 'Changes',
};
/** As wide as form and pane need to stand side by side. */
const WIDE = '(width >= 60rem)';

/** The view that was looked at last; who was never here sees what the popup looks like. */
const PANE_KEY = 'nudged.editor-pane';

function firstPane(): Pane {
  let last: string | null = null;
  try {
    last = localStorage.getItem(PANE_KEY);
  } catch {
    // A browser that keeps nothing begins anew.
  }
  return PANES.find((pane) => pane === last) ?? 'preview';
}

function remember(pane: Pane): void {
  try {
    localStorage.setItem(PANE_KEY, pane);
  } catch {
    // As above.
  }
}

function useWide(): boolean {
  const query = useMemo(() => window.matchMedia(WIDE), []);
  const [wide, setWide] = useState(query.matches);
  useEffect(() => {
    const hear = () => setWide(query.matches);
    query.addEventListener('change', hear);
    return () => query.removeEventListener('change', hear);
  }, [query]);
  return wide;
}

export function Workbench({ state, name }: { state: EditorState; name: string }) {
  const { doc } = state;
  const shown = useMemo(newShown, []);
  const wide = useWide();
  const [pane, show] = useState<Pane>(() => (wide ? firstPane() : 'form'));
  const setPane = (picked: Pane) => {
    show(picked);
    if (picked !== 'form') remember(picked);
  };
  const current = wide && pane === 'form' ? 'json' : pane;
  useCheck(state);
  const { offer, isKept } = useKeeping(state, name);
  const panes = PANES.filter((one) => !wide || one !== 'form');
  const goTo = (field: string) => {
    if (!wide) setPane('form');
    // What is not in the form, such as a name that is misspelt, is in the JSON.
    setTimeout(() => {
      if (focusField(field)) return;
      setPane('json');
      doc.pointed.value = field;
    });
  };
  return (
    <DocumentContext.Provider value={doc}>
      <ShownContext.Provider value={shown}>
        <Head state={state} onGoTo={goTo} />
        <Notes state={state} />
        <Kept offer={offer} isKept={isKept} />
        <div class={wide ? 'editor editor-two' : 'editor'}>
          {(wide || current === 'form') && (
            <div class="editor-form" {...(wide ? {} : { id: 'form-panel', role: 'tabpanel' })}>
              <Form state={state} />
            </div>
          )}
          <div class="editor-side">
            <Tabs
              label="Views of the popup"
              tabs={panes.map((one) => ({ id: one, label: PANE_NAMES[one] }))}
              current={current}
              onPick={(id) => setPane(id as Pane)}
            />
            {current !== 'form' && (
              <div
                class="editor-pane"
                id={`${current}-panel`}
                role="tabpanel"
                aria-labelledby={`${current}-tab`}
              >
                <PaneOf pane={current} state={state} />
              </div>
            )}
          </div>
        </div>
      </ShownContext.Provider>
    </DocumentContext.Provider>
  );
}

function Form({ state }: { state: EditorState }) {
  return (
    <>
      <Identity isNew={state.isNew && state.draft.value === null} />
      <Contents />
      <ScheduleForm />
      <Target />
      <Frequency />
      <Delivery />
    </>
  );
}

function PaneOf({ pane, state }: { pane: Pane; state: EditorState }) {
  if (pane === 'json') return <JsonPane />;
  if (pane === 'preview') return <Preview />;
  if (pane === 'audience') return <Audience />;
  return <Changes state={state} />;
}

function Changes({ state }: { state: EditorState }) {
  const live = state.live.value;
  const before = parseJson(live?.text ?? '{}').node;
  return (
    <div class="stack">
      <p class="soft">
        {live
          ? `What publishing would change in version ${live.version}.`
          : 'Never published: everything is new.'}
      </p>
      <Diff
        before={before && valueOf(before)}
        after={state.doc.definition.value}
        names={[live ? `Version ${live.version}` : 'Nothing yet', 'In the editor']}
      />
    </div>
  );
}
