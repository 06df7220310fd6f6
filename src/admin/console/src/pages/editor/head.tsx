// The beginning of the editor's page: what is edited, and what can be done with it.
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { may } from '../../api/session';
import { Button, LinkButton } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { PageHead } from '../../ui/page';
import { toast } from '../../ui/toast';
import { ConflictDialog } from './conflict';
import { Problems } from './problems';
import { rollBack, type LivePopup } from './requests';
import { Standing } from './standing';
import type { EditorState } from './state';
import { VersionsDialog } from './versions';

export function Head({ state, onGoTo }: { state: EditorState; onGoTo: (field: string) => void }) {
  const live = state.live.value;
  const id = state.id;
  const back = live ? { href: `/popups/${id}`, label: id } : { href: '/popups', label: 'Popups' };
  const beside = (
    <>
      <Standing state={state} />
      <Problems onGoTo={onGoTo} />
    </>
  );
  return (
    <div class="editor-head">
      <PageHead
        title={state.isNew ? `New popup ${id}` : id}
        beside={beside}
        back={state.isNew ? { href: '/new', label: 'Templates' } : back}
      >
        {live && <Versions state={state} />}
        {state.doc.readOnly ? (
          may('edit') && (
            <LinkButton href={`/new?copy=${encodeURIComponent(id)}`} icon="copy" kind="primary">
              Copy as a new popup
            </LinkButton>
          )
        ) : (
          <Saving state={state} />
        )}
      </PageHead>
    </div>
  );
}

/** Saving and publishing, and what has to be settled first. */
function Saving({ state }: { state: EditorState }) {
  const { doc, draft, busy, isDirty } = state;
  const [, go] = useLocation();
  const isBad = doc.broken.value !== null || doc.errors.value.length > 0;
  const isDone = !isDirty.value && !state.isNew;
  const saved = () => {
    toast(`Draft of ${state.id} saved. Nobody sees it until it is published.`);
    if (state.isNew) go(`/popups/${state.id}/edit`, { replace: true });
  };
  const published = (made: LivePopup) => {
    const words = made.status === 'live' ? 'It is live on this node' : `It is ${made.status}`;
    toast(`Version ${made.version} of ${state.id} is published. ${words}.`);
    if (state.isNew) go(`/popups/${state.id}`);
  };
  const save = async () => {
    if (await state.save()) saved();
  };
  const publish = async () => {
    const made = await state.publish();
    if (made) published(made);
  };
  const settle = async (text: string) => {
    const made = await state.settleClash(text);
    if (typeof made === 'object' && made) published(made);
    else if (made) saved();
  };
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key !== 's' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (!isBad && !isDone) void save();
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  });
  const clash = state.clash.value;
  return (
    <>
      {draft.value && <Discard state={state} />}
      <Button
        busy={busy.value === 'save'}
        disabled={isBad || isDone}
        aria-keyshortcuts="Control+S"
        title="Ctrl-S"
        onClick={() => void save()}
      >
        Save draft
      </Button>
      <Button
        kind="primary"
        busy={busy.value === 'publish'}
        disabled={isBad || (isDone && !draft.value)}
        onClick={() => void publish()}
      >
        Publish
      </Button>
      {clash && (
        <ConflictDialog
          clash={clash}
          onClose={() => (state.clash.value = null)}
          onSettle={(text) => void settle(text)}
        />
      )}
    </>
  );
}

function Versions({ state }: { state: EditorState }) {
  const { doc, live } = state;
  const [open, setOpen] = useState(false);
  const present = live.value?.version ?? 0;
  return (
    <>
      <Button onClick={() => setOpen(true)}>Versions</Button>
      {open && (
        <VersionsDialog
          id={state.id}
          text={doc.good.value.text}
          live={present}
          canChange={!doc.readOnly}
          onTake={(version) => {
            doc.setText(version.text);
            setOpen(false);
          }}
          onRollBack={async (version) => {
            const made = await rollBack(state.id, version.version, present);
            state.settleRollBack(made);
            toast(`Version ${version.version} is live again, as version ${made.version}.`);
          }}
          onClose={() => setOpen(false)}
        />
      )}
    </>
  );
}

function Discard({ state }: { state: EditorState }) {
  const [, go] = useLocation();
  const [asked, setAsked] = useState(false);
  const live = state.live.value;
  const discard = async () => {
    setAsked(false);
    if (!(await state.discard())) return;
    toast(`The draft of ${state.id} is gone.`);
    if (!live) go('/popups');
  };
  return (
    <>
      <Button kind="quiet" onClick={() => setAsked(true)}>
        Discard draft
      </Button>
      {asked && (
        <Dialog
          title={`Discard the draft of ${state.id}?`}
          onClose={() => setAsked(false)}
          actions={
            <>
              <Button onClick={() => setAsked(false)}>Keep it</Button>
              <Button kind="danger" onClick={() => void discard()}>
                Discard the draft
              </Button>
            </>
          }
        >
          <p>
            {live
              ? `Its text will be gone, for everyone. Version ${live.version} stays as it is.`
              : 'Its text will be gone, for everyone; the popup was never published.'}
          </p>
        </Dialog>
      )}
    </>
  );
}
