// Makes a token. Its text is in the answer and nowhere else: it is shown once.
import { useState } from 'preact/hooks';
import { ask, Refusal } from '../../api/client';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { TextField } from '../../ui/field';
import { Failure, Notice } from '../../ui/notice';
import { Copy } from '../../ui/copy';
import { FOR, ROLES, type Role } from './roles';
import type { Token } from './tokens';

type Made = Token & { readonly token: string; readonly warnings: readonly string[] };

export function MakeToken({ onClose }: { onClose: () => void }) {
  const [made, setMade] = useState<Made | null>(null);
  return made ? (
    <Secret made={made} onClose={onClose} />
  ) : (
    <Form onClose={onClose} onMade={setMade} />
  );
}

const NAME_BYTES_MAX = 64;

function Form({ onClose, onMade }: { onClose: () => void; onMade: (made: Made) => void }) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const [wrong, setWrong] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const make = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    const local = wrongName(name);
    setWrong(local);
    setError(null);
    if (local) return;
    setBusy(true);
    try {
      onMade((await ask<Made>('POST', '/v1/tokens', { body: { name: name.trim(), role } })).value);
    } catch (thrown) {
      setBusy(false);
      if (thrown instanceof Refusal && thrown.field === 'name') setWrong(thrown.message);
      else setError(thrown);
    }
  };
  return (
    <Dialog
      title="Make a token"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" form="make-token" busy={busy}>
            Make the token
          </Button>
        </>
      }
    >
      <form id="make-token" class="make-token" onSubmit={(event) => void make(event)}>
        <TextField
          label="Name"
          value={name}
          onText={(text) => {
            setName(text);
            setWrong('');
          }}
          hint="Who uses it, such as ann@example.com or ci. The audit shows it."
          error={wrong}
          autoFocus
          spellcheck={false}
        />
        <fieldset class="roles-choice">
          <legend class="field-label">Role</legend>
          {ROLES.map((one) => (
            <label key={one} class="role-choice">
              <input
                type="radio"
                name="role"
                value={one}
                checked={one === role}
                onChange={() => setRole(one)}
              />
              <span>
                <strong>{one}</strong>
                <span class="role-for">{FOR[one]}</span>
              </span>
            </label>
          ))}
        </fieldset>
        {error ? <Failure error={error} what="No token was made" /> : null}
      </form>
    </Dialog>
  );
}

function wrongName(name: string): string {
  if (!name.trim()) return 'Give it a name.';
  const length = new TextEncoder().encode(name.trim()).length;
  return length > NAME_BYTES_MAX ? `A name has at most ${NAME_BYTES_MAX} bytes.` : '';
}

function Secret({ made, onClose }: { made: Made; onClose: () => void }) {
  return (
    <Dialog
      title={`The token of “${made.name}”`}
      onClose={onClose}
      actions={
        <Button kind="primary" onClick={onClose}>
          I have kept it
        </Button>
      }
    >
      <p>
        Keep it now: it is shown this once, and nudged knows only its hash. Who has it may do what
        the role {made.role} may.
      </p>
      <div class="secret">
        <code class="secret-text" tabIndex={0}>
          {made.token}
        </code>
        <Copy text={made.token} label="Copy the token" />
      </div>
      <p class="access-note">
        In the console, sign in with it. In requests: <code>Authorization: Bearer TOKEN</code>.
      </p>
      {made.warnings.map((warning) => (
        <Notice key={warning} tone="warn">
          <p>{warning}</p>
        </Notice>
      ))}
    </Dialog>
  );
}
