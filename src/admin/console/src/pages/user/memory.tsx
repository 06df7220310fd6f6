// What decisions go by: the clocks of a user, and each popup that they saw.
import { Link } from 'wouter-preact';
import { Chip, type Tone } from '../../ui/chip';
import { Facts } from '../../ui/figure';
import { count, many } from '../../ui/format';
import { type Column, Table } from '../../ui/table';
import { Time } from '../../ui/time';
import { When } from '../../ui/when';
import type { PopupMemory, UserState } from './remembered';

const OUTCOMES: Readonly<Record<string, Tone>> = {
  clicked: 'good',
  converted: 'good',
  dismissed: 'warn',
  ignored: 'plain',
};

export function Memory({ state }: { state: UserState }) {
  const { last_counted_at, day_shows, session_shows } = state.clocks;
  return (
    <>
      <Facts
        facts={[
          ['Last popup that counts', last_counted_at ? <Time at={last_counted_at} /> : 'none yet'],
          ['Counted on that day', many(day_shows, 'popup')],
          ['Counted in the last session', many(session_shows, 'popup')],
        ]}
      />
      {state.popups.length > 0 ? (
        <Table
          caption="Popups that this user saw"
          columns={COLUMNS}
          rows={state.popups}
          rowId={(popup) => popup.id}
        />
      ) : (
        <p class="user-none">No popup was shown to this user.</p>
      )}
    </>
  );
}

const COLUMNS: readonly Column<PopupMemory>[] = [
  {
    id: 'popup',
    title: 'Popup',
    name: true,
    cell: (popup) =>
      popup.next_show_at === null ? (
        <code title="No catalog has this popup any more">{popup.id}</code>
      ) : (
        <Link href={`/popups/${popup.id}`}>{popup.id}</Link>
      ),
  },
  { id: 'shows', title: 'Shows', figure: true, cell: (popup) => count(popup.shows) },
  {
    id: 'last',
    title: 'Last show',
    cell: (popup) => {
      const at = popup.last_shows.at(-1)?.at;
      return at ? <When at={at} seconds /> : '–';
    },
  },
  {
    id: 'outcome',
    title: 'Last answer',
    cell: (popup) =>
      popup.outcome ? (
        <span class="user-outcome">
          <Chip tone={OUTCOMES[popup.outcome] ?? 'plain'}>{popup.outcome}</Chip>
          <Time at={popup.outcome_at} form="relative" />
        </span>
      ) : (
        'none yet'
      ),
  },
  {
    id: 'next',
    title: 'May be shown again',
    cell: (popup) => <Next at={popup.next_show_at} />,
  },
];

function Next({ at }: { at: string | null }) {
  if (at === null) return <>the popup is gone</>;
  if (at === 'never') return <>never</>;
  const isOver = Date.parse(at) <= Date.now();
  return isOver ? <>now</> : <When at={at} />;
}
