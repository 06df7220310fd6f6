// Where the popup that is edited stands, and what is to be known before it is changed.
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

export function Notes({ state }: { state: EditorState }) {
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
            This draft was begun from version {state.draft.value?.base}; version {live.version} is
            live now. Publishing shows both.
          </p>
        </Notice>
      )}
      {refused !== null && <Failure error={refused} what="Not saved" />}
    </>
  );
}

/** What a closed tab has left, and whether this browser keeps anything. */
export function Kept({ offer, isKept }: { offer: Offer | null; isKept: boolean }) {
  return (
    <>
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
          <p>This browser does not keep what is typed: save the draft before you close the tab.</p>
        </Notice>
      )}
    </>
  );
}
