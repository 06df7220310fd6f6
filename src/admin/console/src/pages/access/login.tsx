// Lets somebody in by a token. The path stays what it was, so that they go on where they were.
import './access.css';
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { Refusal } from '../../api/client';
import { session, signIn } from '../../api/session';
import { Button } from '../../ui/button';
import { TextField } from '../../ui/field';
import { words } from '../../ui/notice';

/** An answer that takes longer is told of. */
const SLOW_MS = 1_500;

export default function Login(_: { params: Record<string, string> }) {
  const [path, go] = useLocation();
  const [token, setToken] = useState('');
  const [wrong, setWrong] = useState('');
  const [busy, setBusy] = useState(false);
  const slow = useSlow(busy);
  const who = session.value;
  const isWithin = (who?.may.length ?? 0) > 0;
  useEffect(() => {
    document.title = 'Sign in · nudged';
  }, []);
  const enter = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    if (!token.trim()) return setWrong('Paste your token.');
    setBusy(true);
    setWrong('');
    try {
      await signIn(token.trim());
      if (path === '/login') go('/', { replace: true });
    } catch (error) {
      setWrong(why(error));
    } finally {
      setBusy(false);
    }
  };
  // Within the frame there is a landmark already.
  const Room = isWithin ? 'div' : 'main';
  return (
    <Room class={isWithin ? 'login login-within' : 'login'}>
      <form
        class="login-form"
        onSubmit={(event) => void enter(event)}
        aria-labelledby="login-title"
      >
        <h1 id="login-title">Sign in to nudged</h1>
        <p class="access-note">
          {who?.node ? `Node ${who.node}, version ${who.version}.` : ''} {said()}
        </p>
        <TextField
          label="Token"
          type="password"
          value={token}
          onText={(text) => {
            setToken(text);
            setWrong('');
          }}
          error={wrong}
          autoFocus
          autocomplete="current-password"
          spellcheck={false}
          placeholder="nudged_…"
        />
        <Button kind="primary" type="submit" busy={busy}>
          Sign in
        </Button>
        <p class="login-slow" role="status">
          {slow ? 'The node takes its time to answer. It is still being asked.' : ''}
        </p>
        <p class="access-note">
          No token? An admin makes one under Access, or with <code>POST /v1/tokens</code>. The first
          is in the file that <code>admin_token_file</code> names, on the host of the node.
        </p>
      </form>
    </Room>
  );
}

/** Why somebody is here. */
function said(): string {
  return session.value?.login
    ? 'It asks for a token.'
    : 'A token lets you do what its role allows.';
}

function why(error: unknown): string {
  if (!(error instanceof Refusal)) return words(error);
  if (error.code === 'too_many_sign_ins' || error.code === 'too_many_refusals') {
    return 'Too many tries at once, by you or others. Wait a few seconds and try again.';
  }
  if (error.code === 'wrong_token') {
    return 'This token is not known here: it is mistyped, revoked, or of another installation.';
  }
  if (error.code === 'token_expired') {
    return 'The time of this token is up. Ask an admin for a new one.';
  }
  if (error.code === 'cross_origin') {
    return 'The node is asked by another address than your browser’s: does a proxy change Host?';
  }
  return words(error);
}

function useSlow(busy: boolean): boolean {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    setSlow(false);
    if (!busy) return;
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    return () => clearTimeout(timer);
  }, [busy]);
  return slow;
}
