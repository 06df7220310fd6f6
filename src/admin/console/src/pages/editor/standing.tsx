// Where the popup that is edited stands, and what is to be known before it is changed.
import { Refusal } from '../../api/client';
import { isDown } from '../../api/connection';
import { session } from '../../api/session';
import { Button } from '../../ui/button';
import { StatusChip } from '../../ui/chip';
import { Failure, Notice } from '../../ui/notice';
import { Time } from '../../ui/time';
import type { Offer } from './keeping';
import type { EditorState } from './state';

/** Where the popup stands: live, with a draft, with changes that are not saved. */
export function Standing({ state }: { state: EditorState }) {
  const { live, draft, isDirty } = state;
  return (
    <span class="editor-standing">
      {live.value && <StatusChip status={live.value.status} own={live.value.own} />}
      <span class="soft small" role="status">
        {state.isNew && !draft.value
          ? 'Not saved yet'
          : isDirty.value
            ? 'Unsaved changes'
            : draft.value
              ? 'Draft saved '
              : live.value && `Version ${live.value.version}`}
        {!isDirty.value && draft.value && <Time at={draft.value.at} form="relative" />}
        {!isDirty.value && draft.value && ` by ${draft.value.who}`}
      </span>
    </span>
  );
}

export function Notes({ state }: { state: EditorState }) {
  const live = state.live.value;
  const isFile = live?.origin === 'file';
  const refused = state.refused.value;
  const isNewer = live && state.draft.value && state.draft.value.base !== live.version;
  return (
    <>
      {isFile && (
        <Notice title="This popup comes from the node's popups file">
          <p>
            Edit it in that file and reload the node. Here you can view it, pause or archive it on
            its page, or copy it as a new popup.
          </p>
        </Notice>
      )}
      {!isFile && state.doc.readOnly && (
        <Notice title="You can look, but not edit">
          <p>
            {session.value?.read_only
              ? "This node's console is read-only: sign in with a token that may edit."
              : 'Your token has no right to edit popups.'}
          </p>
        </Notice>
      )}
      {isNewer && (
        <Notice tone="warn">
          <p>
            This draft was started from version {state.draft.value?.base}; version {live.version} is
            live now. Publishing will show you both.
          </p>
        </Notice>
      )}
      {refused !== null && <Refused error={refused} />}
    </>
  );
}

/** Why it was not saved. What failed as nobody answered is no news once somebody does. */
function Refused({ error }: { error: unknown }) {
  if (!(error instanceof Refusal) || error.code !== 'unreachable') {
    return <Failure error={error} what="Not saved" />;
  }
  return (
    <Notice tone={isDown.value ? 'bad' : 'warn'} title="Not saved">
      <p>
        {isDown.value
          ? 'The node does not answer. What you typed stays here: try again when it is back.'
          : 'The node did not answer; now it does. What you typed is here: do it again.'}
      </p>
    </Notice>
  );
}

/** What a closed tab has left, and whether this browser keeps anything. */
export function Kept({ offer, isKept }: { offer: Offer | null; isKept: boolean }) {
  return (
    <>
      {offer && (
        <Notice
          title="You have unsaved changes from before"
          actions={
            <>
              <Button onClick={offer.take}>Restore them</Button>
              <Button kind="quiet" onClick={offer.drop}>
                Discard them
              </Button>
            </>
          }
        >
          <p>
            This browser kept them when the tab was closed, <Time at={offer.kept.at} />.
          </p>
        </Notice>
      )}
      {!isKept && (
        <Notice tone="warn">
          <p>
            This browser can't keep your unsaved changes (too large, or it keeps nothing): save the
            draft before you close the tab.
          </p>
        </Notice>
      )}
    </>
  );
}
