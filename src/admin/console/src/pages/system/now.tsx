// Rates, latencies and shards, as of the last second; nodes, as of the last status.
import { isDown } from '../../api/connection';
import { type Live, live, type LiveShard, liveHistory, liveTrouble } from '../../api/live';
import { Chart } from '../../ui/chart';
import { Chip } from '../../ui/chip';
import { Figure, Figures } from '../../ui/figure';
import { bytes, count, duration, NOTHING, percent, perSecond } from '../../ui/format';
import { Notice } from '../../ui/notice';
import { Section } from '../../ui/page';
import { type Column, Table } from '../../ui/table';
import type { NodeSeen, Shard, Status } from './status';

/** Why live figures do not come, where the node answers all else. */
function LiveMissing() {
  const why = liveTrouble.value;
  if (!why || live.value || isDown.value) return null;
  return (
    <Notice tone="warn" title="This node sends no live figures here">
      <p>
        It says why: {why}. What you see is renewed every few seconds, and rates are missing.
      </p>
    </Notice>
  );
}

export function Now({ status }: { status: Status }) {
  const told = live.value;
  return (
    <>
      <Section title="Requests" beside={<span class="system-as-of">{asOf(told)}</span>}>
        <LiveMissing />
        <div class="rates">
          <Rates told={told} status={status} />
        </div>
        <Courses history={liveHistory.value} />
      </Section>
      <Section title="Shards">
        <Table
          caption="Shards"
          columns={SHARDS}
          rows={status.shards.map((shard) => ({
            ...shard,
            now: told?.shards.find(({ id }) => id === shard.id) ?? null,
          }))}
          rowId={({ id }) => String(id)}
        />
      </Section>
      {status.nodes && (
        <Section title="Nodes">
          <Table
            caption="Nodes that share these stores"
            columns={NODES}
            rows={status.nodes}
            rowId={({ node }) => node}
          />
        </Section>
      )}
    </>
  );
}

function asOf(told: Live | null): string {
  return told ? 'of the last second, live' : 'waiting for live figures';
}

function Rates({ told, status }: { told: Live | null; status: Status }) {
  const totals = told?.totals;
  const when = 'last second';
  const open = totals?.connections ?? status.shards.reduce((sum, one) => sum + one.connections, 0);
  return (
    <Figures>
      <Figure label="Requests" value={perSecond(totals?.requests_per_s)} asOf={when} />
      <Figure label="Popups shown" value={perSecond(totals?.shows_per_s)} asOf={when} />
      <Figure label="Nothing to show" value={perSecond(totals?.nothing_per_s)} asOf={when} />
      <Figure label="Degraded" value={perSecond(totals?.degraded_per_s)} asOf={when} />
      <Figure label="Events" value={perSecond(totals?.events_per_s)} asOf={when} />
      <Figure label="Errors (5xx)" value={perSecond(totals?.errors_per_s)} asOf={when} />
      <Figure label="Latency p50" value={milliseconds(totals?.latency_ms.p50)} asOf={when} />
      <Figure label="Latency p99" value={milliseconds(totals?.latency_ms.p99)} asOf={when} />
      <Figure
        label="Connections"
        value={count(open)}
        asOf="now"
        hint={`of ${count(status.connections_max)}`}
      />
      <Figure label="Load" value={percent(told?.load ?? status.load)} asOf="busiest shard, now" />
    </Figures>
  );
}

/** `0.081 ms`; three digits at most. */
export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  return `${Number(value.toPrecision(value < 100 ? 2 : 3))} ms`;
}

/** Of an axis, whose unit stands above it. */
function short(value: number | null): string {
  return value === null ? NOTHING : String(Number(value.toPrecision(2)));
}

function Courses({ history }: { history: readonly Live[] }) {
  const times = history.map(({ at }) => Date.parse(at) / 1000);
  return (
    <div class="courses">
      <Chart
        title="Requests"
        unit="per second, last 2 min"
        times={times}
        series={[
          { label: 'Requests', values: history.map(({ totals }) => totals.requests_per_s) },
          { label: 'Popups shown', values: history.map(({ totals }) => totals.shows_per_s) },
        ]}
        height={160}
        form={short}
        liveSeconds={120}
      />
      <Chart
        title="Latency"
        unit="ms, last 2 min"
        times={times}
        series={[
          { label: 'p50', values: history.map(({ totals }) => totals.latency_ms.p50) },
          { label: 'p99', values: history.map(({ totals }) => totals.latency_ms.p99) },
        ]}
        height={160}
        form={short}
        liveSeconds={120}
      />
    </div>
  );
}

type ShardRow = Shard & { readonly now: LiveShard | null };

const SHARDS: readonly Column<ShardRow>[] = [
  { id: 'id', title: 'Shard', name: true, cell: ({ id }) => `Shard ${id}` },
  { id: 'cpu', title: 'CPU', figure: true, cell: ({ cpu }) => count(cpu) },
  {
    id: 'load',
    title: 'Load',
    figure: true,
    cell: ({ load, now }) => percent(now?.load ?? load),
  },
  {
    id: 'rate',
    title: 'Requests /s',
    figure: true,
    cell: ({ now }) => perSecond(now?.requests_per_s),
  },
  {
    id: 'p50',
    title: 'p50',
    figure: true,
    cell: ({ now }) => milliseconds(now?.latency_ms.p50),
  },
  {
    id: 'p99',
    title: 'p99',
    figure: true,
    cell: ({ now }) => milliseconds(now?.latency_ms.p99),
  },
  {
    id: 'connections',
    title: 'Connections',
    figure: true,
    cell: ({ connections, now }) => count(now?.connections ?? connections),
  },
  {
    id: 'users',
    title: 'Users in memory',
    figure: true,
    cell: ({ users, now }) => count(now?.users ?? users),
  },
  { id: 'bytes', title: 'Memory', figure: true, cell: (row) => bytes(row.slice_bytes) },
];

const NODES: readonly Column<NodeSeen>[] = [
  {
    id: 'host',
    title: 'Node',
    name: true,
    cell: ({ host, node, self }) => (
      <span class="node-name" title={node}>
        {host}
        {self && <Chip>this one</Chip>}
      </span>
    ),
  },
  { id: 'version', title: 'Version', cell: ({ version }) => version },
  {
    id: 'catalog',
    title: 'Catalog',
    cell: ({ catalog_version, current }) => (
      <span class="node-name">
        version {count(catalog_version)}{' '}
        <Chip tone={current ? 'good' : 'warn'}>{current ? 'as here' : 'differs from here'}</Chip>
      </span>
    ),
  },
  {
    id: 'overrides',
    title: 'Pauses and archives',
    figure: true,
    cell: ({ overrides }) => count(overrides),
  },
  {
    id: 'seen',
    title: 'Last sign',
    figure: true,
    cell: ({ self, silent_ms }) => (self ? 'now' : `${duration(silent_ms / 1000)} ago`),
  },
];
