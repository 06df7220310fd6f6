// What does not change each second: addresses, the certificate, files and the room on their disk,
// limits.
import { Chip } from '../../ui/chip';
import { Facts } from '../../ui/figure';
import { bytes, count, duration, NOTHING } from '../../ui/format';
import { Section } from '../../ui/page';
import { type Column, Table } from '../../ui/table';
import { Time } from '../../ui/time';
import type { Certificate, Listener, Status } from './status';

/** Of a certificate that ends within this, somebody has to be told. */
const SOON_S = 21 * 86_400;

export function Host({ status }: { status: Status }) {
  return (
    <>
      <Section title="Node">
        <Facts facts={nodeFacts(status)} />
      </Section>
      <Section title="Addresses for visitors">
        <Table
          caption="Listeners, since the start"
          columns={LISTENERS}
          rows={status.listeners}
          rowId={({ address }) => address}
        />
      </Section>
      <Section title="Certificate">
        {status.tls ? (
          <CertificateFacts certificate={status.tls} />
        ) : (
          <p class="system-none">None: no address of this node speaks TLS itself.</p>
        )}
      </Section>
      <Files data={status.data} />
      <Section title="Limits in effect">
        <Facts facts={limitFacts(status.limits)} />
      </Section>
    </>
  );
}

function nodeFacts(status: Status) {
  const { catalog, clock } = status;
  const popups = Object.entries(catalog.popups).map(([word, many]) => `${count(many)} ${word}`);
  return [
    ['Version', status.version],
    ['Started', <Time at={status.started_at} seconds />],
    ['Popups', popups.join(', ')],
    [
      'Catalog',
      <>
        version {count(catalog.version)}, since <Time at={catalog.since} />
      </>,
    ],
    ['CPU of the writer', count(status.writer_cpu)],
    ['Threads are pinned', status.pinned ? 'yes' : 'no'],
    ['Acknowledges when', status.ack === 'synced' ? 'on disk' : 'written'],
    [
      'Clock',
      <>
        <Time at={clock.now} form="absolute" seconds />, {ahead(clock.ahead_ms)}
      </>,
    ],
  ] as const;
}

function ahead(ms: number): string {
  return ms === 0 ? 'as the host’s' : `${count(ms)} ms ahead of the host’s`;
}

const LISTENERS: readonly Column<Listener>[] = [
  { id: 'address', title: 'Address', name: true, cell: ({ address }) => address },
  { id: 'open', title: 'Open now', figure: true, cell: (one) => count(one.connections) },
  {
    id: 'accepted',
    title: 'Accepted',
    figure: true,
    cell: (one) => count(one.connections_accepted),
  },
  { id: 'refused', title: 'Refused', figure: true, cell: (one) => count(one.connections_refused) },
];

function CertificateFacts({ certificate }: { certificate: Certificate }) {
  const { expires_in_s: left } = certificate;
  const isOver = left <= 0;
  return (
    <Facts
      facts={[
        [
          'Ends',
          <>
            <Time at={certificate.expires_at} />{' '}
            <Chip tone={isOver ? 'bad' : left < SOON_S ? 'warn' : 'good'}>
              {isOver ? 'over' : `${duration(left)} left`}
            </Chip>
          </>,
        ],
        ['Begins', <Time at={certificate.not_before} />],
      ]}
    />
  );
}

type File = readonly [name: string, size: number];

const FILES: readonly Column<File>[] = [
  { id: 'name', title: 'File', name: true, cell: ([name]) => <code>{name}</code> },
  { id: 'size', title: 'Size', figure: true, cell: ([, size]) => bytes(size) },
];

function Files({ data }: { data: Status['data'] }) {
  return (
    <Section title="Files">
      <Facts
        facts={[
          ['Directory', <code>{data.directory}</code>],
          ['Free on its disk', data.free_bytes === null ? NOTHING : bytes(data.free_bytes)],
        ]}
      />
      <Table
        caption="Files in the data directory, but for the journal's"
        columns={FILES}
        rows={Object.entries(data.files)}
        rowId={([name]) => name}
      />
    </Section>
  );
}

const LIMITS: Readonly<Record<string, string>> = {
  connections: 'Connections',
  slice_bytes: 'Memory for users',
  unsent_bytes: 'Answers that clients have not read',
  journal_bytes: 'Journal',
  journal_unapplied_bytes: 'Journal that is not in SQL yet',
  journal_retention_ms: 'Journal files are kept for',
  list_records: 'Records in a Redis list',
  descriptors: 'Open files of the process',
};

function limitFacts(limits: Status['limits']) {
  return Object.entries(limits)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => [LIMITS[name] ?? name, limitWords(name, value ?? 0)] as const);
}

function limitWords(name: string, value: number): string {
  if (name.endsWith('_bytes')) return bytes(value);
  if (name.endsWith('_ms')) return duration(value / 1000);
  return count(value);
}
