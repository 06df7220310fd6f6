// Until when tokens let in, as it is shown: in their table, above it, and to who uses one.
import { Link } from 'wouter-preact';
import { may, session } from '../../api/session';
import { Chip } from '../../ui/chip';
import { Notice } from '../../ui/notice';
import { clock, Time } from '../../ui/time';
import { When } from '../../ui/when';
import { isPressing, standing } from './expiry';

/** Of one token, in a table. */
export function Ends({ at }: { at: string | null }) {
  if (!at) return <>when revoked</>;
  const how = standing(at, clock.value);
  return (
    <span class="token-name">
      <When at={at} />
      {how === 'over' && <Chip tone="bad">expired</Chip>}
      {how === 'soon' && <Chip tone="warn">soon</Chip>}
    </span>
  );
}

interface Ending {
  readonly name: string;
  readonly expires_at: string | null;
}

/** Names what ends in the next days: whoever uses it finds out by being refused. */
export function EndingSoon({ tokens }: { tokens: readonly Ending[] }) {
  const soon = tokens.filter(({ expires_at }) => standing(expires_at, clock.value) === 'soon');
  if (soon.length === 0) return null;
  return (
    <div class="tokens-soon">
      <Notice
        tone="warn"
        title={soon.length === 1 ? 'A token ends soon' : `${soon.length} tokens end soon`}
      >
        <ul class="tokens-ending">
          {soon.map(({ name, expires_at }) => (
            <li key={`${name} ${expires_at}`}>
              <strong>{name}</strong>: <Time at={expires_at} />
            </li>
          ))}
        </ul>
        <p>
          It is refused from then on. Make a new one under another name and put it in place before.
        </p>
      </Notice>
    </div>
  );
}

/** Tells who is signed in with a token that it is about to end, wherever they are. */
export function YoursEnds() {
  const end = session.value?.expires_at;
  if (!end || !isPressing(end, clock.value)) return null;
  return (
    <div class="yours-ends">
      <Notice tone="warn" title="Your token ends soon">
        <p>
          It ends <Time at={end} />. You are signed out then.{' '}
          {may('own') ? (
            <>
              Make a new one under <Link href="/access">Access</Link> before.
            </>
          ) : (
            'Ask an admin for a new one before.'
          )}
        </p>
      </Notice>
    </div>
  );
}
