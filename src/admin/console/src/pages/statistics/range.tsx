// Of when statistics are: a span that ends now, or two moments; by hour or day; in which zone. All
// of it stands in the address.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { useSearchParams } from 'wouter-preact';
import { Segments, TextField } from '../../ui/field';
import { ZONE } from '../../ui/format';
import { allZones } from '../../ui/zones';
import { fieldOf, isZone, momentOf } from './calendar';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const SPANS: Record<string, number> = {
  '24h': DAY_MS,
  '7d': 7 * DAY_MS,
  '30d': 30 * DAY_MS,
  '90d': 90 * DAY_MS,
};

/** Longest ranges that the node tells, of one popup and of all. */
const ONE_MAX_MS = 366 * DAY_MS;
const ALL_MAX_MS = 31 * DAY_MS;
/** More hours than these are no chart, but a comb. */
const HOURS_MAX_MS = 31 * DAY_MS;

export interface Range {
  readonly preset: string;
  /** Null: until now. */
  readonly from: number | null;
  readonly to: number | null;
  readonly by: 'hour' | 'day';
  readonly zone: string;
  /** Why it can't be asked for; null if it can. */
  readonly wrong: string | null;
}

/** The parameters of `GET /v1/stats`. */
export function queryOf(range: Range, popup: string | null, now: number) {
  const to = range.to ?? now;
  const from = range.from ?? to - (SPANS[range.preset] ?? DAY_MS);
  return {
    popup: popup ?? undefined,
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    by: range.by,
    tz: range.zone,
  };
}

export function useRange(isOne: boolean): [Range, (some: Record<string, string>) => void] {
  const [params, setParams] = useSearchParams();
  const asked = params.get('range') ?? '24h';
  const preset = asked === 'custom' || (SPANS[asked] && (isOne || asked !== '90d')) ? asked : '24h';
  const kept = params.get('tz');
  const zone = kept && isZone(kept) ? kept : ZONE;
  const isCustom = preset === 'custom';
  const from = isCustom ? momentOf(params.get('from') ?? '', zone) : null;
  const to = isCustom ? momentOf(params.get('to') ?? '', zone) : null;
  const span = isCustom && from !== null ? (to ?? Date.now()) - from : (SPANS[preset] ?? 0);
  const by = params.get('by') ?? (span > 3 * DAY_MS ? 'day' : 'hour');
  const range: Range = {
    preset,
    from,
    to,
    by: by === 'day' || span > HOURS_MAX_MS ? 'day' : 'hour',
    zone,
    wrong: isCustom ? wrongOf(from, span, isOne ? ONE_MAX_MS : ALL_MAX_MS) : null,
  };
  const change = (some: Record<string, string>) => {
    setParams((before) => {
      const next = new URLSearchParams(before);
      for (const [name, value] of Object.entries(some)) {
        if (value) next.set(name, value);
        else next.delete(name);
      }
      return next;
    });
  };
  return [range, change];
}

function wrongOf(from: number | null, span: number, most: number): string | null {
  if (from === null) return 'When does it begin?';
  if (span <= 0) return 'It ends before it begins.';
  if (span > most) return `At most ${most / DAY_MS} days at once can be shown.`;
  return null;
}

interface RangeProps {
  readonly range: Range;
  readonly change: (some: Record<string, string>) => void;
  readonly isOne: boolean;
  readonly before?: ComponentChildren;
  /** What stands at the end of the row. */
  readonly children?: ComponentChildren;
}

export function RangeFields({ range, change, isOne, before, children }: RangeProps) {
  const { preset, zone, by } = range;
  const spans = ['24h', '7d', '30d', ...(isOne ? ['90d'] : [])];
  const names: Record<string, string> = {
    '24h': '24 hours',
    '7d': '7 days',
    '30d': '30 days',
    '90d': '90 days',
  };
  const pick = (value: string) => {
    if (value !== 'custom') return change({ range: value, from: '', to: '', by: '' });
    const now = Date.now();
    const from = fieldOf(now - (SPANS[preset] ?? DAY_MS), zone);
    change({ range: 'custom', from, to: fieldOf(now, zone), by: '' });
  };
  return (
    <div class="range">
      {before}
      <div class="row range-row">
        <Segments
          label="Range"
          value={preset}
          choices={[
            ...spans.map((value) => ({ value, label: names[value] ?? value })),
            { value: 'custom', label: 'From – to' },
          ]}
          onPick={pick}
        />
        <Segments
          label="By"
          value={by}
          choices={[
            { value: 'hour', label: 'By hour' },
            { value: 'day', label: 'By day' },
          ]}
          onPick={(value) => change({ by: value })}
        />
        <Zone zone={zone} pick={(tz) => change({ tz: tz === ZONE ? '' : tz })} />
        {children}
      </div>
      {preset === 'custom' && <Moments range={range} change={change} />}
      {!isOne && (
        <p class="soft small">
          Up to {ALL_MAX_MS / DAY_MS} days of all popups; choose one popup for 90 days or a year.
        </p>
      )}
    </div>
  );
}

function Moments({ range, change }: Pick<RangeProps, 'range' | 'change'>) {
  const { from, to, zone, wrong } = range;
  return (
    <div class="row range-moments">
      <TextField
        label="From"
        type="datetime-local"
        value={from === null ? '' : fieldOf(from, zone)}
        error={wrong}
        onText={(text) => change({ from: text })}
      />
      <TextField
        label="To"
        type="datetime-local"
        value={to === null ? '' : fieldOf(to, zone)}
        hint={to === null ? 'Until now' : undefined}
        onText={(text) => change({ to: text })}
      />
    </div>
  );
}

function Zone({ zone, pick }: { zone: string; pick: (zone: string) => void }) {
  const [text, setText] = useState(zone);
  const isKnown = isZone(text);
  return (
    <div class="range-zone">
      <TextField
        label="Time zone"
        list="zones"
        spellcheck={false}
        value={text}
        error={text && !isKnown ? 'No such time zone' : undefined}
        onText={(typed) => {
          setText(typed);
          // A part of a name may be a name, such as `GMT` of `GMT+1`; those listed are whole.
          if (allZones().includes(typed)) pick(typed);
        }}
      />
      <datalist id="zones">
        {allZones().map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </div>
  );
}
