// Has the node read its files again.
import { useState } from 'preact/hooks';
import { ask } from '../../api/client';
import { may } from '../../api/session';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { many } from '../../ui/format';
import { Failure, Notice } from '../../ui/notice';
import { WhyNot } from '../access/why-not';

interface Reloaded {
  readonly version: number;
  readonly changed: boolean;
  readonly applied: readonly string[];
  readonly waiting_for_restart: readonly string[];
  readonly warnings: readonly string[];
}

export function Reload({ onDone }: { onDone: () => void }) {
  const [open, setOpen] = useState(false);
  const allowed = may('run');
  return (
    <span class="with-reason">
      <Button disabled={!allowed} onClick={() => setOpen(true)}>
        Reload
      </Button>
      {!allowed && <WhyNot right="run" />}
      {open && <Asked onClose={() => setOpen(false)} onDone={onDone} />}
    </span>
  );
}

function Asked({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [done, setDone] = useState<Reloaded | null>(null);
  const reload = async () => {
    setBusy(true);
    setError(null);
    try {
      setDone((await ask<Reloaded>('POST', '/v1/reload')).value);
      onDone();
    } catch (thrown) {
      setError(thrown);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog
      title="Reload this node"
      onClose={onClose}
      actions={
        done ? (
          <Button kind="primary" onClick={onClose}>
            Close
          </Button>
        ) : (
          <>
            <Button onClick={onClose}>Cancel</Button>
            <Button kind="primary" busy={busy} onClick={() => void reload()}>
              Reload
            </Button>
          </>
        )
      }
    >
      {done ? (
        <Told done={done} />
      ) : (
        <p>
          It reads nudged.toml, the popups file, keys and the certificate again, as on SIGHUP. If
          one of them is wrong, nothing changes and you are told what it is. Visitors notice
          nothing.
        </p>
      )}
      {error ? <Failure error={error} what="Nothing was changed" /> : null}
    </Dialog>
  );
}

function Told({ done }: { done: Reloaded }) {
  return (
    <>
      <p>
        {done.changed
          ? `Popups changed: the catalog is version ${done.version}.`
          : 'No popup changed.'}{' '}
        {done.applied.length > 0
          ? `${many(done.applied.length, 'setting')} applied: ${done.applied.join(', ')}.`
          : 'No setting changed.'}
      </p>
      {done.waiting_for_restart.length > 0 && (
        <Notice tone="warn" title="These wait for a restart">
          <p>{done.waiting_for_restart.join(', ')}</p>
        </Notice>
      )}
      {done.warnings.map((warning) => (
        <Notice key={warning} tone="warn">
          <p>{warning}</p>
        </Notice>
      ))}
    </>
  );
}
