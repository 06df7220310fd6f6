// What the list tells of each popup.
import { Link } from 'wouter-preact';
import { type Popup, switchFor, titleOf } from '../../api/popups';
import { may } from '../../api/session';
import { Button } from '../../ui/button';
import { Chip, StatusChip } from '../../ui/chip';
import { count, NOTHING, share } from '../../ui/format';
import { Sparkline } from '../../ui/sparkline';
import type { Column } from '../../ui/table';
import { clock, Time } from '../../ui/time';
import { timeOf } from './in-words';
import { LiveRate } from './live-rate';

export function columns(act: (popup: Popup) => void): Column<Popup>[] {
  return [
    {
      id: 'id',
      title: 'Popup, placement',
      name: true,
      sortable: true,
      cell: (popup) => <Name {...popup} />,
    },
    { id: 'status', title: 'State', width: '9.5rem', cell: (popup) => <State {...popup} /> },
    {
      id: 'live',
      title: 'Now',
      figure: true,
      width: '5rem',
      cell: ({ id }) => <LiveRate id={id} />,
    },
    {
      id: 'shows',
      title: 'Shows, 24 h',
      figure: true,
      sortable: true,
      width: '7.75rem',
      cell: ({ stats }) => count(stats?.decided),
    },
    {
      id: 'clicks',
      title: 'Clicks, 24 h',
      figure: true,
      sortable: true,
      width: '8rem',
      cell: ({ stats }) => <Clicks stats={stats} />,
    },
    {
      id: 'course',
      title: 'Per hour, 24 h',
      width: '7.5rem',
      wide: true,
      cell: ({ stats }) =>
        stats ? <Sparkline values={stats.hours} label="Shows per hour, last 24 h" /> : NOTHING,
    },
    {
      id: 'action',
      title: 'Action',
      bare: true,
      width: '7.5rem',
      cell: (popup) => <Action popup={popup} act={act} />,
    },
  ];
}

function Name({ id, definition, draft, version, placement, priority }: Popup) {
  const title = titleOf(definition);
  const rank = priority !== 0 && `priority ${priority}`;
  return (
    <>
      <span class="names">
        <Link href={`/popups/${id}`}>{id}</Link>
        {draft && version > 0 && <Chip tone="accent">Draft waiting</Chip>}
      </span>
      <span class="under" title={title}>
        {[placement.join(', '), rank, title].filter(Boolean).join(' · ')}
      </span>
    </>
  );
}

function State(popup: Popup) {
  const { effective_status: status, status: own, override, gone, updated_at: at } = popup;
  // What is live and not shown, for its dates, is not to look as if it were.
  const time = status === 'live' ? timeOf(popup.definition, clock.value) : null;
  const why = override && own !== status ? `over ${own}` : status === 'paused' && SET;
  return (
    <>
      {time ? <Chip>{time === 'over' ? 'Ended' : 'Not begun'}</Chip> : null}
      {!time && <StatusChip status={status} gone={gone} />}
      <span class="under">
        {why && !gone && `${why}${at ? ', ' : ''}`}
        {at && <Time at={at} form="relative" />}
      </span>
    </>
  );
}

/** A pause that no button ends. */
const SET = 'in its definition';

function Clicks({ stats }: { stats: Popup['stats'] }) {
  if (!stats) return <>{NOTHING}</>;
  return (
    <>
      {count(stats.clicked)}
      <span class="rate">{share(stats.clicked, stats.decided)}</span>
    </>
  );
}

function Action({ popup, act }: { popup: Popup; act: (popup: Popup) => void }) {
  const what = switchFor(popup);
  if (!what || !may('switch')) return null;
  return (
    <Button
      small
      icon={what === 'pause' ? 'pause' : 'play'}
      aria-label={`${what === 'pause' ? 'Pause' : 'Resume'} ${popup.id}`}
      onClick={() => act(popup)}
    >
      {what === 'pause' ? 'Pause' : 'Resume'}
    </Button>
  );
}
