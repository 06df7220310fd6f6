// The editor itself: the form at one side, and JSON, preview, audience or changes at the other.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { may } from '../../api/session';
import { Button, LinkButton } from '../../ui/button';
import { StatusChip } from '../../ui/chip';
import { Failure, Notice } from '../../ui/notice';
import { PageHead } from '../../ui/page';
import { Tabs } from '../../ui/tabs';
import { Time } from '../../ui/time';
import { toast } from '../../ui/toast';
import { Audience } from './audience';
import { ConflictDialog } from './conflict';
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
import { lineOf, parseJson, valueOf } from './model/json';
import { Preview } from './preview/preview';
import { Problems } from './problems';
import { rollBack, type LivePopup } from './requests';
import type { EditorState } from './state';
import { VersionsDialog } from './versions';

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
  const [pane, setPane] = useState<Pane>(wide ? 'json' : 'form');
  const current = wide && pane === 'form' ? 'json' : pane;
  useCheck(state);
  const { offer, isKept } = useKeeping(state, name);
  const panes = PANES.filter((one) => !wide || one !== 'form');
  const goTo = (field: string) => {
    if (!wide) setPane('form');
    setTimeout(() => focusField(field));
  };
  return (
    <DocumentContext.Provider value={doc}>
      <ShownContext.Provider value={shown}>
        <Head state={state} />
        <Notes state={state} />
        {offer && (
          <Notice
            title="There is a text here that was not saved"
            actions={
              <>
                <Button onClick={offer.take}>Go on with it</Button>
                <Button kind="quiet" onClick={offer.drop}>
                  Throw it away
                </Button>
              </>
            }
          >
            <p>
              It was typed in this browser <Time at={offer.kept.at} />, and the tab was closed.
            </p>
          </Notice>
        )}
        {!isKept && (
          <Notice tone="warn">
            <p>
              This browser does not keep what is typed: save the draft before you close the tab.
            </p>
          </Notice>
        )}
        <Problems onGoTo={goTo} />
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

/** Brings the focus to a place of the form, or to the nearest one around it. */
function focusField(field: string): void {
  for (let name = field; name; name = name.replace(/[.[]?[^.[]*$/, '')) {
    const place = document.querySelector(`[data-field="${CSS.escape(name)}"]`);
    const closed = place?.closest('details:not([open])');
    if (closed instanceof HTMLDetailsElement) closed.open = true;
    const control = place?.querySelector<HTMLElement>('input, select, textarea, button');
    if (control) {
      control.focus();
      control.scrollIntoView({ block: 'center' });
      return;
    }
  }
}

function Form({ state }: { state: EditorState }) {
  const { doc } = state;
  const broken = doc.broken.value;
  const line = broken && lineOf(doc.text.value, broken.at).line;
  return (
    <>
      {broken && (
        <Notice tone="warn" title="The JSON is not complete">
          <p>
            Line {line}: {broken.message}. The form shows what was there before, and waits.
          </p>
        </Notice>
      )}
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
          ? `What publishing this changes of version ${live.version}.`
          : 'It was never published: all of it is new.'}
      </p>
      <Diff
        before={before && valueOf(before)}
        after={state.doc.definition.value}
        names={[live ? `Version ${live.version}` : 'Not there', 'In the editor']}
      />
    </div>
  );
}

function Head({ state }: { state: EditorState }) {
  const { doc, live, draft, busy, isDirty } = state;
  const [, go] = useLocation();
  const [versions, setVersions] = useState(false);
  const id = state.id;
  const isBad = doc.broken.value !== null || doc.errors.value.length > 0;
  const done = (made: LivePopup | null) => {
    if (!made) return;
    const words = made.status === 'live' ? 'It is live on this node' : `It is ${made.status}`;
    toast(`Version ${made.version} of ${id} is published. ${words}.`);
    if (state.isNew) go(`/popups/${id}`);
  };
  const save = async () => {
    if (!(await state.save())) return;
    toast(`The draft of ${id} is saved. Nobody is shown it until it is published.`);
    if (state.isNew) go(`/popups/${id}/edit`, { replace: true });
  };
  const publish = async () => done(await state.publish());
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key !== 's' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (!doc.readOnly) void save();
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  });
  const clash = state.clash.value;
  return (
    <div class="editor-head">
      <PageHead
        title={state.isNew ? `New popup ${id}` : id}
        beside={<Standing state={state} />}
        back={
          state.isNew
            ? { href: '/new', label: 'Templates' }
            : { href: live.value ? `/popups/${id}` : '/popups', label: live.value ? id : 'Popups' }
        }
      >
        {live.value && <Button onClick={() => setVersions(true)}>Versions</Button>}
        {doc.readOnly ? (
          may('edit') && (
            <LinkButton href={`/new?copy=${encodeURIComponent(id)}`} icon="copy" kind="primary">
              Copy as a new popup
            </LinkButton>
          )
        ) : (
          <>
            {draft.value && <Discard state={state} />}
            <Button
              busy={busy.value === 'save'}
              disabled={isBad || (!isDirty.value && !state.isNew)}
              onClick={() => void save()}
            >
              Save draft
            </Button>
            <Button
              kind="primary"
              busy={busy.value === 'publish'}
              disabled={isBad || (!isDirty.value && !draft.value && !state.isNew)}
              onClick={() => void publish()}
            >
              Publish
            </Button>
          </>
        )}
      </PageHead>
      {clash && (
        <ConflictDialog
          clash={clash}
          onClose={() => (state.clash.value = null)}
          onSettle={(text) =>
            void state.settleClash(text).then((made) => {
              if (typeof made === 'object') done(made);
              else if (made) toast(`The draft of ${id} is saved.`);
            })
          }
        />
      )}
      {versions && live.value && (
        <VersionsDialog
          id={id}
          text={doc.good.value.text}
          live={live.value.version}
          canRollBack={!doc.readOnly}
          onTake={(version) => {
            doc.setText(version.text);
            setVersions(false);
          }}
          onRollBack={async (version) => {
            const made = await rollBack(id, version.version, live.value?.version ?? 0);
            if (!isDirty.peek() && !draft.peek()) {
              state.loaded.value = made.text;
              doc.setText(made.text);
            }
            state.live.value = made;
            toast(`Version ${version.version} of ${id} is live again, as version ${made.version}.`);
          }}
          onClose={() => setVersions(false)}
        />
      )}
    </div>
  );
}

/** Where the popup stands: live, with a draft, with changes that are not saved. */
function Standing({ state }: { state: EditorState }) {
  const { live, draft, isDirty } = state;
  return (
    <span class="editor-standing">
      {live.value && <StatusChip status={live.value.status} own={live.value.own} />}
      <span class="soft small" role="status">
        {isDirty.value || (state.isNew && !draft.value)
          ? 'Not saved yet'
          : draft.value
            ? 'Draft saved '
            : live.value && `Version ${live.value.version}`}
        {!isDirty.value && draft.value && <Time at={draft.value.at} form="relative" />}
        {!isDirty.value && draft.value && ` by ${draft.value.who}`}
      </span>
    </span>
  );
}

function Discard({ state }: { state: EditorState }) {
  const [, go] = useLocation();
  const discard = async () => {
    const hadLive = state.live.peek() !== null;
    if (!(await state.discard())) return;
    toast('The draft is gone. Ctrl-Z in the JSON brings its text back.');
    if (!hadLive) go('/popups');
  };
  return (
    <Button kind="quiet" onClick={() => void discard()}>
      Discard draft
    </Button>
  );
}

function Notes({ state }: { state: EditorState }) {
  const live = state.live.value;
  const isFile = live?.origin === 'file';
  const refused = state.refused.value;
  const isNewer = live && state.draft.value && state.draft.value.base !== live.version;
  return (
    <>
      {isFile && (
        <Notice title="This popup stands in the node's popups file">
          <p>
            It is changed in that file, and read anew by a reload. Here it can be looked at, paused
            and archived on its page, or copied as a popup of its own.
          </p>
        </Notice>
      )}
      {!isFile && state.doc.readOnly && (
        <Notice title="You may look, and not change">
          <p>Your token has no right to edit popups.</p>
        </Notice>
      )}
      {isNewer && (
        <Notice tone="warn">
          <p>
            This draft was begun from version {state.draft.value?.base}; version {live.version} is
            live now. Publishing shows both.
          </p>
        </Notice>
      )}
      {refused !== null && <Failure error={refused} what="Not saved" />}
    </>
  );
}
