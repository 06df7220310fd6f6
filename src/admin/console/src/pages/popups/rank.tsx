// Which popups come before another where both could be shown.
import { Link } from 'wouter-preact';
import { get } from '../../api/client';
import { useLoad } from '../../api/load';
import type { Popup, PopupPage } from '../../api/popups';
import { count } from '../../ui/format';

/** As many are named; the others are counted. */
const NAMED_MAX = 5;
/** As many as one answer has. */
const ASKED_MAX = 200;

/** Whether one wins over another: by its priority, and of two that have the same by its id. */
export function isBefore(one: Placed, other: Placed): boolean {
  if (one.priority !== other.priority) return one.priority > other.priority;
  return one.id < other.id;
}

type Placed = Pick<Popup, 'id' | 'priority'>;

export function Rank({ popup }: { popup: Popup }) {
  return (
    <>
      <div>Priority {popup.priority}: where several could be shown, the highest wins.</div>
      {popup.placement.map((placement) => (
        <Above key={placement} popup={popup} placement={placement} />
      ))}
    </>
  );
}

function Above({ popup, placement }: { popup: Popup; placement: string }) {
  const { value } = useLoad(`above ${popup.id} ${popup.version} ${placement}`, (signal) => {
    const query = { placement, status: 'live', sort: 'priority', order: 'desc', limit: ASKED_MAX };
    return get<PopupPage>('/v1/popups', query, signal);
  });
  if (!value) return <div>At {placement}: …</div>;
  const above = value.popups.filter((other) => isBefore(other, popup));
  if (above.length === 0) return <div>At {placement} no live popup comes before it.</div>;
  const named = above.slice(0, NAMED_MAX);
  // Where all of an answer come before it, there may be more.
  const isWhole = above.length < value.popups.length || value.next_after === null;
  const more = above.length - named.length;
  return (
    <div>
      At {placement}, if they may be shown too, before it:{' '}
      {named.map(({ id, priority }, index) => (
        <span key={id}>
          {index > 0 && ', '}
          <Link href={`/popups/${id}`}>{id}</Link> ({priority})
        </span>
      ))}
      {more > 0 && ` and ${isWhole ? '' : 'at least '}${count(more)} more`}
    </div>
  );
}
