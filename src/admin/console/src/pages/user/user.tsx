// A user: what they would see and why not, what is remembered of them, what happened to them.
import './user.css';
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { Refusal } from '../../api/client';
import { useLoad } from '../../api/load';
import { may } from '../../api/session';
import { Button } from '../../ui/button';
import { TextField } from '../../ui/field';
import { Empty, Failure, Notice, Skeleton } from '../../ui/notice';
import { PageHead, Section } from '../../ui/page';
import { Time } from '../../ui/time';
import { userOfPath } from '../../ui/user-path';
import { WhyNot } from '../access/why-not';
import { Answer } from './answer';
import { Erase } from './erase';
import { type Erasure, isUnknown, loadUser, type UserState } from './remembered';
import { Memory } from './memory';
import { Timeline } from './timeline';

export default function User() {
  // Subscribes to the path, which the router has in a form of its own.
  useLocation();
  const user = userOfPath();
  return user ? <OneUser key={user} user={user} /> : <Nobody />;
}

function Nobody() {
  return (
    <>
      <PageHead title="Users" />
      <Search first />
      <Empty title="Look at one user">
        <p>
          Type a user's id as your pages send it. You see what this user would be shown and why not,
          what is remembered of them, and what happened. Ids are not listed anywhere, and upper and
          lower case count.
        </p>
      </Empty>
    </>
  );
}

function Search({ first = false, user = '' }: { first?: boolean; user?: string }) {
  const [, go] = useLocation();
  const [text, setText] = useState(user);
  const [error, setError] = useState('');
  useEffect(() => setText(user), [user]);
  const find = (event: Event) => {
    event.preventDefault();
    const wrong = wrongId(text);
    setError(wrong);
    if (!wrong) go(`/users/${encodeURIComponent(text)}`);
  };
  return (
    <form class="user-search" role="search" onSubmit={find}>
      <TextField
        label="User id"
        type="search"
        value={text}
        onText={(typed) => {
          setText(typed);
          setError('');
        }}
        error={error}
        autoFocus={first}
        spellcheck={false}
        placeholder="such as user-4711"
      />
      <Button type="submit" kind="primary" icon="search">
        Look up
      </Button>
    </form>
  );
}

const USER_BYTES_MAX = 128;

function wrongId(text: string): string {
  if (!text) return 'Type the id of a user.';
  if (text === '.' || text === '..') {
    return 'No browser asks for this id: to it, it is a step in a path. Use curl --path-as-is.';
  }
  const length = new TextEncoder().encode(text).length;
  if (length > USER_BYTES_MAX) {
    return `An id has at most ${USER_BYTES_MAX} bytes; this one has ${length}.`;
  }
  return '';
}

function OneUser({ user }: { user: string }) {
  const state = useLoad(`user ${user}`, (signal) => loadUser(user, signal));
  const [erasing, setErasing] = useState(false);
  const [erased, setErased] = useState<Erasure | null>(null);
  // Grows with each erasure: what is shown is of after it.
  const [turn, setTurn] = useState(0);
  // What stands below comes after what is above it, so that nothing moves under who reads.
  const [isAnswered, setAnswered] = useState(false);
  return (
    <>
      <PageHead
        title={<span class="user-name">{user}</span>}
        back={{ href: '/users', label: 'Users' }}
      >
        <EraseButton onClick={() => setErasing(true)} />
      </PageHead>
      <Search user={user} />
      {erased && <Erased erasure={erased} />}
      {state.error ? <Failure error={state.error} what={failed(state.error)} /> : null}
      {state.value && <About state={state.value} erased={erased !== null} />}
      {state.value || state.error ? (
        <Answer key={`answer ${turn}`} user={user} onAnswered={() => setAnswered(true)} />
      ) : (
        <Skeleton height="20rem" />
      )}
      {state.value && isAnswered && (
        <Section title="What is remembered" beside={<Home state={state.value} />}>
          <Memory state={state.value} />
        </Section>
      )}
      {isAnswered && <Timeline key={`timeline ${turn}`} user={user} />}
      {erasing && (
        <Erase
          user={user}
          onClose={() => setErasing(false)}
          onErased={(answer) => {
            setErasing(false);
            setErased(answer);
            setTurn((before) => before + 1);
            state.reload();
          }}
        />
      )}
    </>
  );
}

function failed(error: unknown): string {
  const unread = error instanceof Refusal && error.status === 503;
  return unread ? 'The state of this user can’t be read now' : 'This user could not be loaded';
}

function EraseButton({ onClick }: { onClick: () => void }) {
  return (
    <span class="with-reason">
      {!may('own') && <WhyNot right="own" />}
      <Button kind="danger" disabled={!may('own')} onClick={onClick}>
        Erase this user
      </Button>
    </span>
  );
}

/** Which shard has them: what an operator looks for in logs. */
function Home({ state }: { state: UserState }) {
  const { epoch, counter } = state.revision;
  return (
    <span class="user-home">
      on shard {state.shard}, revision {epoch}.{counter}
    </span>
  );
}

function About({ state, erased }: { state: UserState; erased: boolean }) {
  if (state.records === null) {
    return (
      <Notice tone="warn" title="SQL does not answer">
        <p>
          What decisions go by is known and shown below. The timeline is in SQL, and is here again
          as soon as SQL is.
        </p>
      </Notice>
    );
  }
  if (erased || !isUnknown(state)) return null;
  return (
    <Notice title="Nothing is remembered of this user">
      <p>
        Nobody of this id was shown a popup, or they were erased, or forgotten after a long time
        without one. They are treated as new: below is what they would see. If you expected a past,
        look at the spelling; <code>Ann</code> and <code>ann</code> are two users.
      </p>
    </Notice>
  );
}

function Erased({ erasure }: { erasure: Erasure }) {
  return (
    <Notice tone="good" title="This user is erased">
      <p>
        Forgotten <Time at={erasure.at} seconds />. The id is still in:
      </p>
      <ul class="user-remains">
        {erasure.remains_in.map((place) => (
          <li key={place}>
            {place.replace(', until journal_until', '')}
            {place.includes('journal_until') && (
              <>
                , until <Time at={erasure.journal_until} form="absolute" />
              </>
            )}
          </li>
        ))}
      </ul>
    </Notice>
  );
}
