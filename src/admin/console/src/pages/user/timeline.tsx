// What happened to a user, and how the popups that they saw changed meanwhile; the newest first, in
// pages.
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import { Refusal } from '../../api/client';
import { useLoad } from '../../api/load';
import { Button } from '../../ui/button';
import { Chip, type Tone } from '../../ui/chip';
import { Failure, Notice, Skeleton } from '../../ui/notice';
import { Section } from '../../ui/page';
import { loadTimeline, type TimelineEntry } from './remembered';
import { entryWords } from './why';

const TONES: Readonly<Record<string, Tone>> = {
  decided: 'accent',
  clicked: 'good',
  converted: 'good',
  dismissed: 'warn',
};

const WORDS: Readonly<Record<string, string>> = {
  decided: 'Chosen for them',
  shown: 'On screen',
  clicked: 'Clicked',
  dismissed: 'Dismissed',
  ignored: 'Ignored',
  converted: 'Converted',
};

export function Timeline({ user }: { user: string }) {
  const first = useLoad(`timeline ${user}`, (signal) => loadTimeline(user, null, signal));
  const [older, setOlder] = useState<readonly TimelineEntry[]>([]);
  const [next, setNext] = useState<string | null | undefined>(undefined);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const before = next === undefined ? (first.value?.next_before ?? null) : next;
  const more = async () => {
    setBusy(true);
    setError(null);
    try {
      const page = await loadTimeline(user, before);
      setOlder((had) => [...had, ...page.timeline]);
      setNext(page.next_before);
    } catch (thrown) {
      setError(thrown);
    } finally {
      setBusy(false);
    }
  };
  const entries = [...(first.value?.timeline ?? []), ...older];
  const failure = error ?? first.error;
  return (
    <Section title="What happened">
      {!first.value && !first.error && <Skeleton lines={5} />}
      {first.value && entries.length === 0 && (
        <p class="user-none">Nothing yet: no popup was chosen for this user.</p>
      )}
      <Entries entries={entries} />
      {failure ? <Away error={failure} onAgain={first.error ? first.reload : more} /> : null}
      {before !== null && (
        <div class="user-more">
          <Button busy={busy} onClick={() => void more()}>
            Show older
          </Button>
        </div>
      )}
    </Section>
  );
}

function Away({ error, onAgain }: { error: unknown; onAgain: () => void }) {
  const again = <Button onClick={onAgain}>Try again</Button>;
  if (!(error instanceof Refusal && error.status === 503)) {
    return <Failure error={error} what="The timeline could not be loaded" />;
  }
  return (
    <Notice tone="warn" title="SQL does not answer, or is slow" actions={again}>
      <p>The timeline is in SQL. Decisions go on without it, and what happens is written later.</p>
    </Notice>
  );
}

function Entries({ entries }: { entries: readonly TimelineEntry[] }) {
  return (
    <>
      {byDay(entries).map(([day, ofDay]) => (
        <section key={day} class="timeline-day">
          <h3>{day}</h3>
          <ol>
            {ofDay.map((entry, index) => (
              <li key={`${entry.at} ${index}`} class="timeline-entry">
                <Entry entry={entry} />
              </li>
            ))}
          </ol>
        </section>
      ))}
    </>
  );
}

function Entry({ entry }: { entry: TimelineEntry }) {
  const word = entry.action ?? 'change';
  return (
    <>
      <time dateTime={entry.at} class="timeline-time">
        {CLOCK.format(Date.parse(entry.at))}
      </time>
      <span class="timeline-what">
        {entry.kind === 'change' ? (
          <Chip>Popup changed</Chip>
        ) : (
          <Chip tone={TONES[word] ?? 'plain'}>{WORDS[word] ?? word}</Chip>
        )}
      </span>
      <span class="timeline-popup">
        <Link href={`/popups/${entry.popup}`}>{entry.popup}</Link>
        <span class="timeline-version">
          {' '}
          version {entry.version}
          {entry.variant ? `, variant ${entry.variant}` : ''}
        </span>
      </span>
      <span class="timeline-why" title={entry.why}>
        {entryWords(entry)}
      </span>
    </>
  );
}

const CLOCK = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  timeZoneName: 'short',
});
const DAY = new Intl.DateTimeFormat('en-GB', {
  weekday: 'long',
  day: 'numeric',
  month: 'long',
  year: 'numeric',
});

/** Entries of one day in the browser's zone stand together. */
function byDay(entries: readonly TimelineEntry[]): [day: string, TimelineEntry[]][] {
  const days = new Map<string, TimelineEntry[]>();
  for (const entry of entries) {
    const day = DAY.format(Date.parse(entry.at));
    days.set(day, [...(days.get(day) ?? []), entry]);
  }
  return [...days];
}
