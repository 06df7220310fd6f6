// Asks whether a popup is to be deleted, or to come back, and does it.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { bringBack, deletePopup, type Popup } from '../../api/popups';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { Failure } from '../../ui/notice';
import { toast } from '../../ui/toast';

interface DialogProps {
  readonly popup: Popup;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function DeleteDialog({ popup, onClose, onDone }: DialogProps) {
  const [, go] = useLocation();
  const isDraft = popup.version === 0;
  return (
    <Confirm
      title={isDraft ? `Delete the draft ${popup.id}?` : `Delete ${popup.id}?`}
      what="Delete"
      failed="Not deleted"
      onClose={onClose}
      run={async () => {
        await deletePopup(popup);
        toast(isDraft ? `The draft ${popup.id} is gone` : `${popup.id} is deleted`);
        if (isDraft) go('/popups');
        else onDone();
      }}
    >
      {isDraft ? (
        <p>It has never been published. Its text is gone for good.</p>
      ) : (
        <p>
          Nobody is shown it any more, on any node. Its versions, its statistics and what each user
          has seen of it are kept, and it can be brought back with all of that.
        </p>
      )}
    </Confirm>
  );
}

export function BringBackDialog({ popup, onClose, onDone }: DialogProps) {
  const status = popup.definition.status ?? 'live';
  return (
    <Confirm
      title={`Bring ${popup.id} back?`}
      what="Bring back"
      failed="Not brought back"
      onClose={onClose}
      run={async () => {
        await bringBack(popup);
        toast(`${popup.id} is back`);
        onDone();
      }}
    >
      <p>
        It is as it was before it was deleted, and its definition says <strong>{status}</strong>
        {status === 'live' ? ': users are shown it from now on.' : '.'} What each user has seen of
        it counts as before.
      </p>
    </Confirm>
  );
}

interface ConfirmProps {
  readonly title: string;
  readonly what: string;
  readonly failed: string;
  readonly onClose: () => void;
  readonly run: () => Promise<void>;
  readonly children: ComponentChildren;
}

function Confirm({ title, what, failed, onClose, run, children }: ConfirmProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const press = () => {
    setBusy(true);
    setError(null);
    run().then(onClose, (failure: unknown) => {
      setError(failure);
      setBusy(false);
    });
  };
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose} data-first>
            Cancel
          </Button>
          <Button kind={what === 'Delete' ? 'danger' : 'primary'} busy={busy} onClick={press}>
            {what}
          </Button>
        </>
      }
    >
      {children}
      {error ? <Failure error={error} what={failed} /> : null}
    </Dialog>
  );
}
