// The schedule on a time line: a row for each day of a week by the clock on the wall, with what a
// clock change skips or repeats, and the way to the next change.
import { useState } from 'preact/hooks';
import { Button } from '../../../ui/button';
import { clock } from '../../../ui/time';
import { useDocument } from '../document';
import {
  dayRows,
  nextOpening,
  readSchedule,
  type Bar,
  type DayRow,
  type Schedule,
} from '../model/schedule';
import { clockChanges, clockText, DAY_MS, dayText, offsetText, toLocal } from '../model/zones';

const WEEK = 7;
const HOURS = [0, 6, 12, 18, 24];

export function TimeLine() {
  const doc = useDocument();
  const schedule = readSchedule(doc.definition.value);
  const now = clock.value;
  const [shift, setShift] = useState(0);
  const begin = Math.max(now, schedule.startsAt ?? now);
  const from = begin + shift * DAY_MS;
  const rows = dayRows(schedule, from, WEEK);
  const next = clockChanges(schedule.zone, from + WEEK * DAY_MS, from + 366 * DAY_MS)[0];
  const jump = next && Math.floor((next.at - begin) / DAY_MS) - 3;
  const first = rows[0]?.local ?? 0;
  return (
    <figure class="timeline">
      <figcaption class="timeline-head">
        <span class="field-label">
          From {dayText(first)}, {schedule.zone} time
          {doc.definition.value['tz'] === 'user' && ': in the zone of each visitor'}
        </span>
        <span class="row">
          <Button kind="quiet" small icon="left" onClick={() => setShift(shift - WEEK)}>
            Week before
          </Button>
          <Button kind="quiet" small onClick={() => setShift(shift + WEEK)}>
            Next week
          </Button>
          {jump !== undefined && (
            <Button kind="quiet" small onClick={() => setShift(jump)}>
              Clock change
            </Button>
          )}
          {shift !== 0 && (
            <Button kind="quiet" small onClick={() => setShift(0)}>
              Begin
            </Button>
          )}
        </span>
      </figcaption>
      <div class="timeline-rows" role="list" aria-label="Days">
        <div class="timeline-hours" aria-hidden="true">
          {HOURS.map((hour) => (
            <span key={hour} style={{ left: `${(100 * hour) / 24}%` }}>
              {String(hour).padStart(2, '0')}
            </span>
          ))}
        </div>
        {rows.map((row) => (
          <Row key={row.local} row={row} now={toLocal(schedule.zone, now)} />
        ))}
      </div>
      <p class="small soft">{told(schedule, now)}</p>
    </figure>
  );
}

function told(schedule: Schedule, now: number): string {
  const opens = nextOpening(schedule, now);
  if (opens === undefined) return 'It does not open within the next year.';
  if (opens <= now) return 'It is open now.';
  const local = toLocal(schedule.zone, opens);
  return `It opens next on ${dayText(local)} at ${clockText(local)}, ${schedule.zone} time.`;
}

function hours({ from, to }: Bar): string {
  const text = (share: number) => (share === 1 ? '24:00' : clockText(Math.round(share * DAY_MS)));
  return `${text(from)} to ${text(to)}`;
}

function Row({ row, now }: { row: DayRow; now: number }) {
  const { local, open, skipped, twice, change } = row;
  const place = ({ from, to }: Bar) => ({ left: `${100 * from}%`, width: `${100 * (to - from)}%` });
  const isToday = now >= local && now < local + DAY_MS;
  const notes = [
    open.length > 0 ? `open ${open.map(hours).join(', ')}` : 'closed',
    ...skipped.map((bar) => `the clock skips ${hours(bar)}`),
    ...twice.map((bar) => `${hours(bar)} happens twice`),
  ];
  return (
    <div class="timeline-row" role="listitem">
      <span class={isToday ? 'timeline-day timeline-today' : 'timeline-day'}>
        {dayText(local).slice(0, -5)}
      </span>
      <span class="hidden">{notes.join('; ')}</span>
      <div class="timeline-track" aria-hidden="true" title={notes.join('; ')}>
        {open.map((bar) => (
          <span key={bar.from} class="timeline-open" style={place(bar)} />
        ))}
        {skipped.map((bar) => (
          <span key={bar.from} class="timeline-skipped" style={place(bar)} />
        ))}
        {twice.map((bar) => (
          <span key={bar.from} class="timeline-twice" style={place(bar)} />
        ))}
        {isToday && (
          <span class="timeline-now" style={{ left: `${(100 * (now - local)) / DAY_MS}%` }} />
        )}
      </div>
      {change && (
        <span class="timeline-note">
          {skipped.map((bar) => `The clock skips ${hours(bar)}: nothing is shown then.`)}
          {twice.map((bar) => `${hours(bar)} happens twice; where open, both times.`)} UTC{' '}
          {offsetText(change.before)} becomes {offsetText(change.after)}.
        </span>
      )}
    </div>
  );
}
