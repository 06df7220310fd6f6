// The node: how it is now, its stores and neighbours, its log, who changed what, and what its host
// lacks. Each part has an address.
import './system.css';
import { useSearch } from 'wouter-preact';
import { get } from '../../api/client';
import { useEvery, useLoad } from '../../api/load';
import { live, useLive } from '../../api/live';
import { Chip } from '../../ui/chip';
import { duration } from '../../ui/format';
import { Failure, Skeleton } from '../../ui/notice';
import { PageHead } from '../../ui/page';
import { LinkTabs } from '../../ui/tabs';
import { Audit } from './audit';
import { Doctor } from './doctor';
import { Host } from './host';
import { Log } from './log';
import { Now } from './now';
import { Outages } from './outages';
import { Reload } from './reload';
import type { Status } from './status';
import { Stores } from './stores';

const STATUS_MS = 5_000;

const PARTS = [
  { href: '/system', label: 'Now' },
  { href: '/system?view=host', label: 'Host' },
  { href: '/system?view=log', label: 'Log' },
  { href: '/system?view=audit', label: 'Audit' },
  { href: '/system?view=doctor', label: 'Doctor' },
] as const;

export default function System() {
  const view = new URLSearchParams(useSearch()).get('view');
  const status = useLoad('status', (signal) => get<Status>('/v1/status', {}, signal));
  useEvery(STATUS_MS, status.reload);
  useLive();
  const here = PARTS.find(({ href }) => view && href.endsWith(`=${view}`)) ?? PARTS[0];
  return (
    <>
      <PageHead title="System" beside={status.value && <State status={status.value} />}>
        <Reload onDone={status.reload} />
      </PageHead>
      <LinkTabs label="Parts of the system" tabs={PARTS} current={here.href} />
      {status.error && !status.value ? (
        <Failure error={status.error} what="The state of the node could not be loaded" />
      ) : null}
      <Part name={here.label} status={status.value} />
    </>
  );
}

function Part({ name, status }: { name: string; status: Status | undefined }) {
  if (name === 'Log') return <Log />;
  if (name === 'Audit') return <Audit />;
  if (name === 'Doctor') return <Doctor />;
  if (!status) return <Skeleton lines={8} />;
  if (name === 'Host') return <Host status={status} />;
  return (
    <>
      <Outages outages={live.value?.outages ?? status.outages} />
      <Now status={status} />
      <Stores status={status} />
    </>
  );
}

function State({ status }: { status: Status }) {
  const ready = live.value?.ready ?? status.ready;
  return (
    <span class="system-state">
      <Chip tone={ready ? 'good' : 'bad'}>{ready ? 'Ready' : 'Not ready'}</Chip>
      <span class="system-up">
        nudged {status.version}, up {duration(status.uptime_s)}
      </span>
    </span>
  );
}
