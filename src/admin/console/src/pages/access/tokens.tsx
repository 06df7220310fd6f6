// Tokens of people and programs: listed, made, revoked.
import { useState } from 'preact/hooks';
import { ask, get } from '../../api/client';
import { useLoad } from '../../api/load';
import { loadSession, may, session } from '../../api/session';
import { Button } from '../../ui/button';
import { Chip } from '../../ui/chip';
import { Dialog } from '../../ui/dialog';
import { Empty, Failure, Notice, Skeleton } from '../../ui/notice';
import { Section } from '../../ui/page';
import { type Column, Table } from '../../ui/table';
import { toast } from '../../ui/toast';
import { When } from '../../ui/when';
import { Ends, EndingSoon } from './ends';
import { MakeToken } from './make-token';
import { FOR, type Role } from './roles';

export interface Token {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly created_at: string;
  readonly created_by: string;
  /** Null for never. */
  readonly expires_at: string | null;
  /** How far it is stored: `memory`, `node`, `redis`, `sql`. */
  readonly stored: string;
}

export function Tokens() {
  if (!may('own')) return <NotYours />;
  return <List />;
}

function NotYours() {
  const role = session.value?.role;
  return (
    <Section title="Tokens">
      <Notice title="Tokens are for admins">
        <p>
          {role ? `Your role is ${role}: it` : 'You'} may not see, make or revoke tokens. Ask an
          admin of this node for another token or role.
        </p>
      </Notice>
    </Section>
  );
}

function List() {
  const listed = useLoad('tokens', (signal) => get<{ tokens: Token[] }>('/v1/tokens', {}, signal));
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const tokens = listed.value?.tokens;
  const make = (
    <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>
      Make a token
    </Button>
  );
  return (
    <Section title="Tokens" beside={tokens?.length ? make : null}>
      {listed.error ? <Failure error={listed.error} what="Tokens could not be loaded" /> : null}
      {!tokens && !listed.error && <Skeleton lines={4} />}
      {tokens?.length === 0 && (
        <Empty title="No tokens yet" actions={make}>
          <p>
            Give each person and each program a token of their own: the audit then says who changed
            what, and one can be revoked without the others.
          </p>
        </Empty>
      )}
      {tokens && <EndingSoon tokens={tokens} />}
      {tokens && tokens.length > 0 && (
        <Table
          caption="Tokens"
          columns={columns(setRevoking)}
          rows={tokens}
          rowId={(token) => token.id}
          keys
        />
      )}
      {making && (
        <MakeToken
          onClose={() => {
            setMaking(false);
            listed.reload();
          }}
        />
      )}
      {revoking && (
        <Revoke
          token={revoking}
          onClose={() => setRevoking(null)}
          onRevoked={() => {
            toast(`The token “${revoking.name}” is revoked.`);
            setRevoking(null);
            listed.reload();
          }}
        />
      )}
    </Section>
  );
}

function columns(revoke: (token: Token) => void): Column<Token>[] {
  const own = session.value?.name;
  return [
    {
      id: 'name',
      title: 'Name',
      name: true,
      cell: ({ name }) => (
        <span class="token-name">
          {name}
          {name === own && <Chip tone="accent">yours</Chip>}
        </span>
      ),
    },
    { id: 'role', title: 'Role', cell: ({ role }) => <span title={FOR[role]}>{role}</span> },
    { id: 'made', title: 'Made', cell: ({ created_at }) => <When at={created_at} /> },
    { id: 'by', title: 'By', cell: ({ created_by }) => created_by },
    { id: 'ends', title: 'Ends', cell: ({ expires_at }) => <Ends at={expires_at} /> },
    {
      id: 'stored',
      title: 'Stored',
      cell: ({ stored }) => (stored === 'sql' ? 'in SQL' : `${stored} so far`),
    },
    {
      id: 'revoke',
      title: 'Revoke',
      bare: true,
      cell: (token) => (
        <Button small onClick={() => revoke(token)} aria-label={`Revoke ${token.name}`}>
          Revoke
        </Button>
      ),
    },
  ];
}

interface RevokeProps {
  readonly token: Token;
  readonly onClose: () => void;
  readonly onRevoked: () => void;
}

function Revoke({ token, onClose, onRevoked }: RevokeProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const isOwn = token.name === session.value?.name;
  const revoke = async () => {
    setBusy(true);
    setError(null);
    try {
      await ask('DELETE', `/v1/tokens/${token.id}`);
      onRevoked();
      if (isOwn) await loadSession().catch(() => {});
    } catch (thrown) {
      setError(thrown);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title={`Revoke “${token.name}”`}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Keep it</Button>
          <Button kind="danger" busy={busy} onClick={() => void revoke()}>
            Revoke it
          </Button>
        </>
      }
    >
      <p>
        Whoever uses this token ({token.role}) is refused within a second, on every node, and signed
        out of the console. It can’t be given back: make a new one instead. What was done with it
        stays in the audit under this name.
      </p>
      {isOwn && (
        <Notice tone="warn" title="You are signed in with it">
          <p>You will be signed out, too.</p>
        </Notice>
      )}
      {error ? <Failure error={error} what="It was not revoked" /> : null}
    </Dialog>
  );
}
