// Where what happened is kept: the journal first, then SQL, and Redis where several nodes decide.
import type { ComponentChildren } from 'preact';
import { live } from '../../api/live';
import { Chip, type Tone } from '../../ui/chip';
import { Facts } from '../../ui/figure';
import { bytes, count, duration, many, NOTHING } from '../../ui/format';
import { Section } from '../../ui/page';
import { Time } from '../../ui/time';
import type { Journal, Redis, Sql, Status } from './status';

export function Stores({ status }: { status: Status }) {
  const now = live.value?.stores;
  // What is told each second has fewer members than what is told in full.
  const journal = { ...status.journal, ...(now?.journal as Partial<Journal> | undefined) };
  const sql = { ...status.sql, ...(now?.sql as Partial<Sql> | undefined) };
  const redis = status.redis && { ...status.redis, ...(now?.redis as Partial<Redis> | null) };
  return (
    <Section title="Stores">
      <div class="stores">
        <JournalCard journal={journal} status={status} />
        <SqlCard sql={sql} />
        <RedisCard redis={redis} />
      </div>
    </Section>
  );
}

interface StoreProps {
  readonly name: string;
  readonly tone: Tone;
  readonly state: string;
  readonly facts: readonly (readonly [string, ComponentChildren])[];
  readonly note?: ComponentChildren;
}

function Store({ name, tone, state, facts, note }: StoreProps) {
  return (
    <article class="store">
      <h3 class="store-name">
        {name} <Chip tone={tone}>{state}</Chip>
      </h3>
      {facts.length > 0 && <Facts facts={facts} />}
      {note && <p class="store-note">{note}</p>}
    </article>
  );
}

function JournalCard({ journal, status }: { journal: Journal; status: Status }) {
  const state = journal.full ? 'Full' : journal.accepting ? 'Takes records' : 'Closed';
  const budget = status.limits['journal_unapplied_bytes'];
  const bound = status.limits['journal_bytes'];
  const behind = journal.written - journal.synced;
  return (
    <Store
      name="Journal"
      tone={journal.accepting && !journal.full ? 'good' : 'bad'}
      state={state}
      facts={[
        ['Records written', count(journal.written)],
        ['Not synced yet', many(behind, 'record')],
        ['Acknowledged when', status.ack === 'synced' ? 'on disk' : 'written'],
        ['Not in SQL yet', `${bytes(journal.unapplied_bytes)} of ${bytes(budget)}`],
        ['Size', `${bytes(journal.bytes)} of ${bytes(bound)}`],
        ['Failed writes', count(journal.failures ?? 0)],
      ]}
      note={journal.lacks}
    />
  );
}

function SqlCard({ sql }: { sql: Sql }) {
  const bad = sql.halted ? 'Halted' : sql.unfit ? 'Can’t be used' : null;
  const isLate = sql.lag_ms > 5_000;
  return (
    <Store
      name="SQL"
      tone={bad ? 'bad' : isLate ? 'warn' : 'good'}
      state={bad ?? (isLate ? 'Behind' : 'Keeps up')}
      facts={[
        ['Lag', `${many(sql.lag, 'record')}, ${duration(sql.lag_ms / 1000)}`],
        ['Records applied', count(sql.applied)],
        ['Failed transactions', count(sql.failures ?? 0)],
        ['Events are kept', kept(sql.retention?.events)],
        ['Users without a popup', kept(sql.retention?.users)],
        ['Last error', sql.last_error ? <Time at={sql.last_error.at} /> : 'none since the start'],
      ]}
      note={sql.unfit}
    />
  );
}

const UNITS: Readonly<Record<string, string>> = { d: 'day', h: 'hour', m: 'minute', s: 'second' };

/** `400d` as nudged.toml has it, in words. */
function kept(age: string | undefined): string {
  if (age === undefined) return NOTHING;
  if (age === 'never') return 'for good';
  const [, number, unit] = /^(\d+)([dhms])$/.exec(age) ?? [];
  return number && unit ? many(Number(number), UNITS[unit] ?? unit) : age;
}

const STATES: Readonly<Record<string, readonly [words: string, tone: Tone]>> = {
  open: ['Decides', 'good'],
  away: ['Away', 'bad'],
  unfit: ['Can’t be used', 'bad'],
  comparing: ['Is compared', 'warn'],
  rebuilding: ['Is filled again', 'warn'],
};

function rebuildWords({ phase, partitions, users, for_ms }: NonNullable<Redis['rebuild']>): string {
  const done = `${many(partitions, 'partition')}, ${many(users, 'user')}`;
  return `${phase}: ${done} in ${duration(for_ms / 1000)}`;
}

function RedisCard({ redis }: { redis: Redis | null }) {
  if (!redis) {
    return (
      <Store
        name="Redis"
        tone="plain"
        state="Not used"
        facts={[]}
        note="This node decides alone. Several nodes that share users need [redis] in nudged.toml."
      />
    );
  }
  const [state, tone] = STATES[redis.state] ?? [redis.state, 'plain'];
  const { rebuild, lists } = redis;
  return (
    <Store
      name="Redis"
      tone={tone}
      state={state}
      facts={[
        ['Other nodes', count(redis.other_nodes)],
        ['Lost partitions', `${count(redis.partitions_lost)} of 1,024`],
        ['Rebuild', rebuild ? rebuildWords(rebuild) : 'none'],
        [
          'Waiting for SQL',
          lists ? `${many(lists.waiting, 'record')}, ${duration(lists.lag_ms / 1000)}` : '–',
        ],
        ['May evict users', redis.evicts === null ? '–' : redis.evicts ? 'yes' : 'no'],
        [
          'Last error',
          redis.last_error ? <Time at={redis.last_error.at} /> : 'none since the start',
        ],
      ]}
      note={redis.unfit}
    />
  );
}
