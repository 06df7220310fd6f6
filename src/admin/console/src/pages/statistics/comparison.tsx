// How variants compare to the first one, and popups to each other.
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import type { Stats } from '../../api/stats';
import { Button } from '../../ui/button';
import { Chip } from '../../ui/chip';
import { Segments } from '../../ui/field';
import { count, NOTHING, percent, share } from '../../ui/format';
import { Section } from '../../ui/page';
import { type Column, type Sort, Table } from '../../ui/table';
import { type Counted, isOpen, type Lift, lift, wilson } from './intervals';
import { type Measure, type Sum, sumsBy } from './sums';

interface VariantLine {
  readonly key: string;
  readonly sum: Sum;
  readonly counted: Counted;
  /** Null for the first, to which the others are compared. */
  readonly lift: Lift | null;
}

const GOALS = [
  { value: 'clicked', label: 'Clicks' },
  { value: 'converted', label: 'Conversions' },
  { value: 'dismissed', label: 'Dismissals' },
];

export function Comparison({ stats, order }: { stats: Stats; order: readonly string[] }) {
  const [goal, setGoal] = useState<Measure>('clicked');
  const sums = sumsBy(stats.rows, ({ variant }) => variant ?? '');
  const place = (key: string) => (order.includes(key) ? order.indexOf(key) : order.length);
  const keys = [...sums.keys()].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
  if (keys.length < 2) return null;
  const counted = (key: string): Counted => {
    const sum = sums.get(key);
    return { successes: sum?.[goal] ?? 0, all: sum?.decided ?? 0 };
  };
  const base = counted(keys[0] ?? '');
  const lines: VariantLine[] = keys.flatMap((key, index) => {
    const sum = sums.get(key);
    if (!sum) return [];
    const own = counted(key);
    return [{ key, sum, counted: own, lift: index === 0 ? null : lift(own, base) }];
  });
  const name = GOALS.find(({ value }) => value === goal)?.label ?? '';
  return (
    <Section
      card
      title="Variants"
      beside={
        <Segments
          label="Compared by"
          value={goal}
          choices={GOALS}
          onPick={(value) => setGoal(value as Measure)}
        />
      }
    >
      <Table
        caption={`Variants, compared by ${name.toLowerCase()}`}
        columns={variantColumns(name, keys[0] ?? '')}
        rows={lines}
        rowId={({ key }) => key}
      />
      <p class="soft small report-note prose">
        Intervals are of 95 %: of the rate by Wilson, of the lift by the logarithm of the ratio.
        They take each show by itself; where the same users were shown it many times, they are too
        narrow. {lines.length > 2 && 'Of many variants, one looks better by chance more easily.'}
      </p>
    </Section>
  );
}

function variantColumns(goal: string, first: string): Column<VariantLine>[] {
  return [
    {
      id: 'key',
      title: 'Variant',
      name: true,
      cell: ({ key }) => key || <span class="soft">Without a variant</span>,
    },
    { id: 'shows', title: 'Shows', figure: true, cell: ({ sum }) => count(sum.decided) },
    { id: 'goal', title: goal, figure: true, cell: ({ counted }) => count(counted.successes) },
    {
      id: 'rate',
      title: 'Rate, with its interval',
      cell: ({ counted }) => <Rate counted={counted} />,
    },
    {
      id: 'lift',
      title: `Lift over ${first || 'none'}`,
      cell: ({ lift: found }) => <LiftCell found={found} />,
    },
  ];
}

/** The rate as a point on its interval, on a scale from 0 to a rate that all lines share. */
function Rate({ counted }: { counted: Counted }) {
  const interval = wilson(counted.successes, counted.all);
  if (!interval) return <>{counted.all ? 'More answers than shows in this range' : NOTHING}</>;
  return (
    <span class="pair">
      <strong>{percent(counted.successes / counted.all)}</strong>
      <span class="soft">
        {percent(interval.low)} to {percent(interval.high)}
      </span>
    </span>
  );
}

function LiftCell({ found }: { found: Lift | null }) {
  if (!found) return <span class="soft">compared to this one</span>;
  if (found.kind === 'too few') return <span class="soft">too few to say</span>;
  const { value, interval } = found;
  const open = isOpen(interval);
  return (
    <span class="pair">
      <strong>{signed(value)}</strong>
      <span class="soft">
        {signed(interval.low)} to {signed(interval.high)}
      </span>
      {open ? (
        <Chip>not clear</Chip>
      ) : (
        <Chip tone={value > 0 ? 'good' : 'bad'}>{value > 0 ? 'higher' : 'lower'}</Chip>
      )}
    </span>
  );
}

function signed(proportion: number): string {
  return `${proportion > 0 ? '+' : ''}${percent(proportion)}`.replace('-', '−');
}

interface PopupLine {
  readonly id: string;
  readonly sum: Sum;
}

/** So many are looked at; the rest when they are asked for. */
const LINES = 25;

export function PopupTable({ stats }: { stats: Stats }) {
  const [sort, setSort] = useState<Sort>({ by: 'decided', falling: true });
  const [shown, setShown] = useState(LINES);
  const lines = [...sumsBy(stats.rows, ({ popup }) => popup)].map(([id, sum]) => ({ id, sum }));
  const of = ({ id, sum }: PopupLine): number | string =>
    sort.by === 'id' ? id : (sum[sort.by as Measure | 'ignored'] ?? -1);
  lines.sort((one, other) => {
    const [a, b] = sort.falling ? [of(other), of(one)] : [of(one), of(other)];
    return a < b ? -1 : a > b ? 1 : 0;
  });
  return (
    <Section card title="By popup">
      <Table
        caption="Popups in this range"
        keys
        columns={POPUP_COLUMNS}
        rows={lines.slice(0, shown)}
        rowId={({ id }) => id}
        sort={sort}
        onSort={setSort}
      />
      {lines.length > shown && (
        <div class="row report-note">
          <span class="soft">
            {count(shown)} of {count(lines.length)} popups
          </span>
          <Button small onClick={() => setShown(shown + 4 * LINES)}>
            More
          </Button>
        </div>
      )}
    </Section>
  );
}

const MEASURED: readonly (readonly [Measure | 'ignored', string])[] = [
  ['clicked', 'Clicks'],
  ['dismissed', 'Dismissals'],
  ['ignored', 'Ignored'],
  ['converted', 'Conversions'],
];

const POPUP_COLUMNS: readonly Column<PopupLine>[] = [
  {
    id: 'id',
    title: 'Popup',
    name: true,
    sortable: true,
    cell: ({ id }) => <Link href={`/popups/${id}/statistics`}>{id}</Link>,
  },
  {
    id: 'decided',
    title: 'Shows',
    figure: true,
    sortable: true,
    cell: ({ sum }) => count(sum.decided),
  },
  ...MEASURED.map(([id, title]) => ({
    id,
    title,
    figure: true,
    sortable: true,
    cell: ({ sum }: PopupLine) => (
      <>
        {count(sum[id])}
        <span class="rate">{share(sum[id], sum.decided)}</span>
      </>
    ),
  })),
];
