// Makes a token. Its text is in the answer and nowhere else: it is shown once.
import { useState } from 'preact/hooks';
import { ask, Refusal } from '../../api/client';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { Select, TextField } from '../../ui/field';
import { moment } from '../../ui/format';
import { Failure, Notice } from '../../ui/notice';
import { Copy } from '../../ui/copy';
import { Time } from '../../ui/time';
import { TIMES, timeMs, WRONG_TIME } from './expiry';
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
  const [time, setTime] = useState('');
  const [ownTime, setOwnTime] = useState('');
  const [wrong, setWrong] = useState('');
  const [wrongTime, setWrongTime] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const make = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    const lasts = time === 'other' ? ownTime.trim() : time;
    const isWrongTime = time !== '' && timeMs(lasts) === null;
    const local = wrongName(name);
    setWrong(local);
    setWrongTime(isWrongTime ? WRONG_TIME : '');
    setError(null);
    if (local || isWrongTime) return;
    setBusy(true);
    try {
      const body = { name: name.trim(), role, ...(lasts && { expires_in: lasts }) };
      onMade((await ask<Made>('POST', '/v1/tokens', { body })).value);
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
        <Lasting
          {...{ time, ownTime }}
          wrong={wrongTime}
          onTime={(picked) => {
            setTime(picked);
            setWrongTime('');
          }}
          onOwnTime={(typed) => {
            setOwnTime(typed);
            setWrongTime('');
          }}
        />
        {error ? <Failure error={error} what="No token was made" /> : null}
      </form>
    </Dialog>
  );
}

interface LastingProps {
  readonly time: string;
  readonly ownTime: string;
  readonly wrong: string;
  readonly onTime: (time: string) => void;
  readonly onOwnTime: (time: string) => void;
}

/** For how long it lets in. */
function Lasting({ time, ownTime, wrong, onTime, onOwnTime }: LastingProps) {
  const isOwn = time === 'other';
  const ms = timeMs(isOwn ? ownTime.trim() : time);
  const until = ms === null ? '' : `Until ${moment(Date.now() + ms)}.`;
  return (
    <div class="token-lasting">
      <Select
        label="It lets in for"
        value={time}
        choices={TIMES}
        onPick={onTime}
        hint={isOwn ? undefined : until}
      />
      {isOwn && (
        <TextField
          label="How long"
          value={ownTime}
          onText={onOwnTime}
          placeholder="12h, 45d, 8w"
          hint={until}
          error={wrong}
          spellcheck={false}
        />
      )}
    </div>
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
        the role {made.role} may,{' '}
        {made.expires_at ? (
          <>
            until <Time at={made.expires_at} form="absolute" />.
          </>
        ) : (
          'until it is revoked.'
        )}
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
