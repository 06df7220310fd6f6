// "Who would see this": somebody's state against the text that is edited. Nothing is recorded.
import { useEffect, useState } from 'preact/hooks';
import { Refusal } from '../../api/client';
import { Button } from '../../ui/button';
import { TextField } from '../../ui/field';
import { Icon } from '../../ui/icon';
import { Moments } from '../../ui/moments';
import { Failure } from '../../ui/notice';
import { Time } from '../../ui/time';
import { heldWords } from '../user/why';
import { useDocument } from './document';
import { attributesOf } from './model/target';
import { momentOf } from './model/zones';
import { preview, type Preview, type Visitor } from './requests';

/** The gates in their order, and what each lets pass. */
const GATES: readonly (readonly [string, string])[] = [
  ['status', 'It is live'],
  ['schedule', 'Within its dates'],
  ['window', 'Inside a window'],
  ['placement', 'At its placement'],
  ['target', 'Target matches'],
  ['rollout', 'In the rollout'],
  ['max_shows', 'Below its limit of shows'],
  ['gap', 'Gap since the last show is over'],
  ['cap', 'Below its caps'],
  ['quiet', 'Outside quiet time'],
  ['day', 'Below the daily limit'],
  ['session', 'Below the session limit'],
];

const NOBODY: Visitor = {
  user: '',
  placement: '',
  session: '',
  locale: '',
  tz: '',
  attrs: {},
  at: '',
};
const PAUSE_MS = 300;

/** A list or an object as typed JSON; all else is a text, which the node reads as the rule needs. */
function attribute(typed: string): unknown {
  if (!/^\s*\[/.test(typed)) return typed;
  try {
    return JSON.parse(typed) as unknown;
  } catch {
    return typed;
  }
}

export function Audience() {
  const doc = useDocument();
  const [visitor, setVisitor] = useState(NOBODY);
  const [attrs, setAttrs] = useState<Record<string, string>>({});
  const [more, setMore] = useState('');
  const asked = attributesOf(doc.at(['target']));
  const names = [...new Set([...asked, ...Object.keys(attrs)])];
  const add = () => {
    if (more && !names.includes(more)) setAttrs({ ...attrs, [more]: '' });
    setMore('');
  };
  const given = Object.entries(attrs).filter(([, typed]) => typed !== '');
  const whom: Visitor = {
    ...visitor,
    at: isMoment(visitor.at) ? visitor.at : '',
    attrs: Object.fromEntries(given.map(([name, typed]) => [name, attribute(typed)])),
  };
  return (
    <div class="stack">
      <div class="editor-grid">
        <Fields visitor={visitor} onVisitor={setVisitor} />
        {names.map((name) => (
          <TextField
            key={name}
            label={`Attribute ${name}`}
            value={attrs[name] ?? ''}
            placeholder="absent"
            onText={(typed) => setAttrs({ ...attrs, [name]: typed })}
          />
        ))}
      </div>
      <form
        class="editor-inline"
        onSubmit={(event) => {
          event.preventDefault();
          add();
        }}
      >
        <TextField label="Another attribute" value={more} placeholder="name" onText={setMore} />
        <Button type="submit">Add</Button>
      </form>
      <Answer visitor={whom} />
    </div>
  );
}

interface FieldsProps {
  readonly visitor: Visitor;
  readonly onVisitor: (visitor: Visitor) => void;
}

/** Whether `at` is empty or a moment. */
function isMoment(at: string): boolean {
  return at === '' || momentOf(at) !== undefined;
}

function Fields({ visitor, onVisitor }: FieldsProps) {
  const set = (change: Partial<Visitor>) => onVisitor({ ...visitor, ...change });
  return (
    <>
      <TextField
        label="User"
        value={visitor.user}
        placeholder="nobody in particular"
        onText={(user) => set({ user })}
        hint="With their shows and clocks. Nothing is recorded."
      />
      <TextField
        label="Placement"
        value={visitor.placement}
        placeholder="the first one"
        onText={(placement) => set({ placement })}
      />
      <TextField
        label="Language"
        value={visitor.locale}
        placeholder="de-AT"
        onText={(locale) => set({ locale })}
      />
      <TextField
        label="Time zone"
        value={visitor.tz}
        placeholder="Europe/Berlin"
        onText={(tz) => set({ tz })}
      />
      <TextField
        label="Session"
        value={visitor.session}
        placeholder="none"
        onText={(session) => set({ session })}
      />
      <TextField
        label="At"
        value={visitor.at}
        placeholder="now"
        error={
          isMoment(visitor.at)
            ? undefined
            : 'Expected a time with an offset: 2026-03-01T09:00:00+01:00'
        }
        onText={(at) => set({ at: at.trim() })}
      />
    </>
  );
}

function Answer({ visitor }: { visitor: Visitor }) {
  const doc = useDocument();
  const [answer, setAnswer] = useState<Preview | null>(null);
  const [error, setError] = useState<unknown>(null);
  const { text } = doc.good.value;
  const key = JSON.stringify(visitor);
  const isBad = doc.errors.value.length > 0;
  useEffect(() => {
    if (isBad) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      preview(text, JSON.parse(key) as Visitor, abort.signal).then(
        (told) => {
          setAnswer(told);
          setError(null);
        },
        (failure: unknown) => {
          if (!abort.signal.aborted) setError(failure);
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, key, isBad]);
  if (isBad) return <p class="soft">Fix the problems first, then the node can be asked.</p>;
  if (error !== null) {
    const isText = error instanceof Refusal && error.code === 'bad_popup';
    return <Failure error={error} what={isText ? 'Fix the problems first' : 'No answer'} />;
  }
  if (!answer) return <p class="soft">Asking…</p>;
  const { variant } = answer.popup;
  return (
    <div class="stack" aria-live="polite">
      <p class={answer.would_pass ? 'audience-yes' : 'audience-no'}>
        <Icon name={answer.would_pass ? 'check' : 'close'} />
        {answer.would_pass ? 'Would see it' : 'Would not see it'}
        {variant !== null && `, as variant ${variant}`}
        {answer.would_pass && ', if no other popup wins'}
      </p>
      <ul class="gates">
        {GATES.map(([name, words]) => {
          const held = answer.gates.find(({ gate }) => gate === name);
          return (
            <li key={name} class={held ? 'gate gate-held' : 'gate'}>
              <Icon name={held ? 'close' : 'check'} />
              <span>
                <span class="gate-name">{words}</span>
                <span class="hidden">{held ? ': no' : ': yes'}</span>
                {held && (
                  <span class="gate-why" title={held.why}>
                    {' '}
                    <Moments words={heldWords(held)} />
                  </span>
                )}
                {held?.opens_at && (
                  <span class="gate-why">
                    {' '}
                    Opens <Time at={held.opens_at} />.
                  </span>
                )}
              </span>
            </li>
          );
        })}
      </ul>
      {answer.warnings.map((line) => (
        <p key={line} class="editor-warning">
          {line}
        </p>
      ))}
    </div>
  );
}
