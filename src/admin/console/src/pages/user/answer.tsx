// What a user would see, and for each popup why or why not.
import { useEffect, useState } from 'preact/hooks';
import { Link, useLocation, useSearch } from 'wouter-preact';
import { get, Refusal } from '../../api/client';
import { useLoad } from '../../api/load';
import { Button } from '../../ui/button';
import { Chip } from '../../ui/chip';
import { Moments } from '../../ui/moments';
import { Failure, Notice, Skeleton } from '../../ui/notice';
import { Section } from '../../ui/page';
import { type Column, Table } from '../../ui/table';
import { Time } from '../../ui/time';
import { When } from '../../ui/when';
import { Form } from './form';
import { inOrder, isElsewhere, known, nextToOpen, reasonWords, verdict } from './gates';
import { fieldOf, isPlain, readQuestion, writeQuestion } from './question';
import type { Candidate, Explanation } from './remembered';
import { heldWords } from './why';

/** Rows at first, and with each further press. */
const ROWS = 50;

export function Answer({ user, onAnswered }: { user: string; onAnswered: () => void }) {
  const search = useSearch();
  const [, go] = useLocation();
  const question = readQuestion(search);
  const query = writeQuestion(question);
  const asked = new URLSearchParams(query);
  asked.set('user', user);
  const told = useLoad(`explain ${asked}`, (signal) =>
    get<Explanation>(`/v1/explain?${asked}`, {}, signal),
  );
  const isAnswered = Boolean(told.value ?? told.error);
  useEffect(() => {
    if (isAnswered) onAnswered();
  }, [isAnswered]);
  const wrong = told.error instanceof Refusal && told.error.status === 400 ? told.error : null;
  return (
    <Section title="What they would see" card>
      <Form
        question={question}
        known={known(told.value?.candidates ?? [])}
        busy={told.busy}
        wrong={wrong && { field: fieldOf(wrong.field), words: wrong.message }}
        onAsk={(next) => {
          const text = writeQuestion(next);
          if (text === query) return told.reload();
          go(`/users/${encodeURIComponent(user)}${text && `?${text}`}`);
        }}
      />
      <div class="answer" aria-live="polite" aria-busy={told.busy}>
        {told.value && <Headline told={told.value} now={isPlain(question)} />}
        {told.error && !wrong ? (
          <Failure error={told.error} what="This could not be answered" />
        ) : null}
        {!told.value && !told.error && <Skeleton lines={2} />}
      </div>
      {told.value && <Candidates told={told.value} />}
    </Section>
  );
}

function Headline({ told, now }: { told: Explanation; now: boolean }) {
  const when = now ? 'now' : <Time at={told.at} form="absolute" />;
  return (
    <>
      <p class="answer-line">
        {told.popup ? (
          <>
            <Link href={`/popups/${told.popup}`}>{told.popup}</Link>
            {told.variant && <>, variant {told.variant},</>} would be shown
          </>
        ) : (
          <>Nothing would be shown</>
        )}
        <span class="answer-where">
          {' '}
          at <q>{told.placement}</q>, {when}
        </span>
      </p>
      {!told.popup && (
        <p class="answer-reason">
          Because {reasonWords(told.reason)}. <NextChance told={told} />
        </p>
      )}
      {told.warnings.map((warning) => (
        <Notice key={warning} tone="warn">
          <p>{warning}</p>
        </Notice>
      ))}
    </>
  );
}

function NextChance({ told }: { told: Explanation }) {
  const next = nextToOpen(told.candidates);
  if (!next) return <>Waiting changes nothing here.</>;
  return (
    <>
      The first that comes by waiting is <Link href={`/popups/${next.id}`}>{next.id}</Link>,{' '}
      <Time at={next.opens_at} zone={zoneOf(told)} />.
    </>
  );
}

/** The zone that was asked for; where none was, moments are told in the browser's. */
function zoneOf({ tz }: Explanation): string | undefined {
  return tz === 'UTC' ? undefined : tz;
}

function Candidates({ told }: { told: Explanation }) {
  const [shown, setShown] = useState(ROWS);
  const [isWhole, setWhole] = useState(false);
  const all = inOrder(told);
  const here = isWhole ? all : all.filter((one) => !isElsewhere(one));
  const hidden = all.length - here.length;
  const zone = zoneOf(told);
  const rows = here.slice(0, shown);
  return (
    <div class="candidates">
      {rows.length > 0 && (
        <Table
          caption="Each popup, and why or why not"
          columns={columns(told.popup, zone)}
          rows={rows}
          rowId={(one) => one.id}
        />
      )}
      <div class="user-more">
        {here.length > rows.length && (
          <Button onClick={() => setShown((before) => before + ROWS)}>
            Show more of {here.length}
          </Button>
        )}
        {hidden > 0 && (
          <Button onClick={() => setWhole(true)}>{hidden} more, not live or elsewhere</Button>
        )}
      </div>
    </div>
  );
}

function columns(shown: string | null, zone: string | undefined): Column<Candidate>[] {
  return [
    {
      id: 'popup',
      title: 'Popup',
      name: true,
      cell: ({ id }) => <Link href={`/popups/${id}`}>{id}</Link>,
    },
    {
      id: 'verdict',
      title: 'Verdict',
      cell: (one) => {
        const [words, tone] = verdict(one, shown);
        return <Chip tone={tone}>{words}</Chip>;
      },
    },
    { id: 'why', title: 'Why', cell: (one) => <Why why={whyOf(one, shown)} own={one.why} zone={zone} /> },
    {
      id: 'opens',
      title: 'May be shown',
      cell: (one) => (one.gate === null ? 'now' : <Opens candidate={one} zone={zone} />),
    },
  ];
}

function whyOf(one: Candidate, shown: string | null): string {
  const { id, gate } = one;
  if (id === shown) return 'Nothing holds it back, and it comes before all others that could be shown';
  if (gate === null) return `Nothing holds it back, but ${shown ?? 'another'} comes before it`;
  return heldWords(one);
}

interface WhyProps {
  readonly why: string;
  /** The node's own sentence, in the words of definitions and of `nudged explain`. */
  readonly own: string | undefined;
  readonly zone: string | undefined;
}

function Why({ why, own, zone }: WhyProps) {
  return (
    <span class="candidate-why" title={own}>
      <Moments words={why} zone={zone} />
    </span>
  );
}

function Opens({ candidate, zone }: { candidate: Candidate; zone: string | undefined }) {
  const at = candidate.opens_at;
  return at ? <When at={at} zone={zone} /> : <span class="soft">not by waiting</span>;
}
