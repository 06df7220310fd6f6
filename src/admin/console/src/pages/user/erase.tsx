// Has a user forgotten. What it means is told first, and the id is typed: it can't be undone.
import { useState } from 'preact/hooks';
import { ask } from '../../api/client';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { TextField } from '../../ui/field';
import { Failure } from '../../ui/notice';
import { type Erasure, pathOf } from './remembered';

interface EraseProps {
  readonly user: string;
  readonly onClose: () => void;
  readonly onErased: (erasure: Erasure) => void;
}

export function Erase({ user, onClose, onErased }: EraseProps) {
  const [typed, setTyped] = useState('');
  const [wrong, setWrong] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const erase = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    if (typed !== user) return setWrong('This is not the id of the user.');
    setBusy(true);
    setError(null);
    try {
      onErased((await ask<Erasure>('DELETE', pathOf(user))).value);
    } catch (thrown) {
      setError(thrown);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title="Erase this user"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Keep the user</Button>
          <Button kind="danger" type="submit" form="erase" busy={busy}>
            Erase for good
          </Button>
        </>
      }
    >
      <form id="erase" class="user-erase" onSubmit={(event) => void erase(event)}>
        <p>
          Everything that is remembered of <strong class="user-name">{user}</strong> is deleted, on
          every node and in SQL: what they saw, what they did with it, and when. This can’t be
          undone.
        </p>
        <ul class="user-consequences">
          <li>They are a new user from then on, and may see again what they have dismissed.</li>
          <li>What their open pages send of earlier popups no longer counts.</li>
          <li>Statistics keep their sums, which name nobody.</li>
          <li>
            The id stays in the journal until its files are deleted, and in backups made earlier.
            You are told until when.
          </li>
        </ul>
        <TextField
          label={`Type ${user} to confirm`}
          value={typed}
          onText={(text) => {
            setTyped(text);
            setWrong('');
          }}
          error={wrong}
          autoFocus
          spellcheck={false}
        />
        {error ? <Failure error={error} what="The user was not erased" /> : null}
      </form>
    </Dialog>
  );
}
