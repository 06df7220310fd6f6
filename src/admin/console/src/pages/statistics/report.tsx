// What came of popups in a range: totals, courses, and how popups or variants compare.
import './statistics.css';
import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { useSearchParams } from 'wouter-preact';
import { get } from '../../api/client';
import { useEvery, useLoad } from '../../api/load';
import type { Popup } from '../../api/popups';
import type { Counts, Stats } from '../../api/stats';
import { may } from '../../api/session';
import { LinkButton } from '../../ui/button';
import { Chart } from '../../ui/chart';
import { Segments } from '../../ui/field';
import { Figure, Figures } from '../../ui/figure';
import { count, moment, NOTHING, share } from '../../ui/format';
import { Icon } from '../../ui/icon';
import { Empty, Failure, Notice, Skeleton } from '../../ui/notice';
import { Section } from '../../ui/page';
import { Comparison, PopupTable } from './comparison';
import { queryOf, RangeFields, useRange } from './range';
import { courses, isCut, MEASURES, type Measure, sumsBy } from './sums';

/** The present hour grows; the rest does not change. */
const RELOAD_MS = 60_000;
/** More lines than these can't be told apart. */
const LINES_MAX = 6;

interface ReportProps {
  /** Null: all. */
  readonly popup: string | null;
  /** What stands before the range. */
  readonly before?: ComponentChildren;
}

export function Report({ popup, before }: ReportProps) {
  const isOne = popup !== null;
  const [range, change] = useRange(isOne);
  const key = range.wrong ? null : JSON.stringify([popup, range]);
  const { value, error, isOld, reload } = useLoad(key, (signal) =>
    get<Stats>('/v1/stats', queryOf(range, popup, Date.now()), signal),
  );
  useEvery(RELOAD_MS, reload);
  // In which order its variants stand, the first being what the others are compared to.
  const definition = useLoad(popup && `definition ${popup}`, (signal) =>
    get<Popup>(`/v1/popups/${encodeURIComponent(popup ?? '')}`, {}, signal),
  );
  const order = definition.value?.definition.variants?.map(({ key: name }) => name) ?? [];
  const csv = value && new URLSearchParams(csvQuery(value, popup)).toString();
  return (
    <div class="stack" aria-busy={isOld}>
      <RangeFields range={range} change={change} isOne={isOne} before={before}>
        <a
          class="button report-csv"
          href={csv && `/v1/stats?${csv}`}
          download={`${popup ?? 'popups'}.csv`}
          aria-disabled={!csv || undefined}
        >
          <Icon name="download" />
          CSV
        </a>
      </RangeFields>
      {error ? <Failure error={error} what="The statistics could not be loaded" /> : null}
      {!value && !error && !range.wrong && <Skeleton height="30rem" />}
      {value && <Told stats={value} isOne={isOne} order={order} />}
    </div>
  );
}

function csvQuery({ from, to, by, tz }: Stats, popup: string | null): Record<string, string> {
  const asked: Record<string, string> = { from, to, tz, format: 'csv' };
  if (by !== 'stored') asked['by'] = by;
  if (popup) asked['popup'] = popup;
  return asked;
}

interface ToldProps {
  readonly stats: Stats;
  readonly isOne: boolean;
  readonly order: readonly string[];
}

function Told({ stats, isOne, order }: ToldProps) {
  const { from, to, tz } = stats;
  const span = `${moment(Date.parse(from), tz)} to ${moment(Date.parse(to), tz)}`;
  return (
    <>
      <p class="soft small">{span}</p>
      {stats.rows.length > 0 && <Totals stats={stats} />}
      {stats.warnings.map((line) => (
        <Notice key={line}>{`${line[0]?.toUpperCase() ?? ''}${line.slice(1)}.`}</Notice>
      ))}
      {stats.rows.length === 0 ? (
        <NothingCounted isOne={isOne} />
      ) : (
        <>
          <Courses stats={stats} isOne={isOne} order={order} />
          {isOne ? <Comparison stats={stats} order={order} /> : <PopupTable stats={stats} />}
        </>
      )}
    </>
  );
}

function Totals({ stats }: { stats: Stats }) {
  const { totals, uniques_error: deviation } = stats;
  const of = (part: number | null) => `${share(part, totals.decided)} of shows`;
  return (
    <Figures>
      <Figure label="Shows" value={count(totals.decided)} asOf={confirmedOf(totals)} />
      <Figure label="Unique users" {...uniquesOf(totals, deviation)} />
      <Figure label="Clicks" value={count(totals.clicked)} asOf={of(totals.clicked)} />
      <Figure label="Dismissals" value={count(totals.dismissed)} asOf={of(totals.dismissed)} />
      <Figure label="Ignored" {...ignoredOf(totals)} />
      <Figure label="Conversions" value={count(totals.converted)} asOf={of(totals.converted)} />
    </Figures>
  );
}

function confirmedOf({ shown, decided }: Counts): string {
  return `${share(shown, decided)} confirmed by the page`;
}

function uniquesOf({ uniques, decided }: Counts, deviation: number | undefined) {
  if (uniques === undefined) return { value: NOTHING, asOf: 'Not told by this node' };
  if (uniques === null) {
    const why = 'Not known: an older version of nudged counted a part of this range';
    return { value: NOTHING, asOf: why };
  }
  const about = deviation && uniques > 100 ? `± ${share(deviation, 1)}` : 'who were shown one';
  // An estimate may be a little above what can be.
  return { value: count(Math.min(uniques, decided)), asOf: about };
}

function ignoredOf({ ignored_inferred: ignored, decided }: Counts) {
  if (ignored === null) {
    return {
      value: NOTHING,
      asOf: 'Not known: an older version of nudged counted a part of this range',
    };
  }
  return {
    value: count(ignored),
    asOf: `${share(ignored, decided)} of shows, of hours that are over`,
  };
}

function NothingCounted({ isOne }: { isOne: boolean }) {
  return (
    <Empty
      title="Nothing was shown in this range"
      actions={
        !isOne && may('edit') && (
          <LinkButton icon="plus" href="/new">
            New popup
          </LinkButton>
        )
      }
    >
      <p>
        {isOne
          ? 'Take a longer range, or look at the popup: is it live, when is it shown, and to whom?'
          : 'Popups are counted as soon as a page or an app asks for one and gets it.'}
      </p>
    </Empty>
  );
}

/** Where there are many, those with the most are lines of their own, and the rest is one. */
const OTHERS = 'All others';

function Courses({ stats, isOne, order }: ToldProps) {
  const [params, setParams] = useSearchParams();
  const measure = (MEASURES.find(({ id }) => id === params.get('measure'))?.id ??
    'decided') as Measure;
  const label = MEASURES.find(({ id }) => id === measure)?.label ?? '';
  const { times, series } = useMemo(() => {
    const nameOf = isOne
      ? ({ variant }: { variant: string | null }) => variant ?? 'Without a variant'
      : ({ popup }: { popup: string }) => popup;
    const names = namesOf(stats, nameOf, measure, isOne ? order : []);
    const told = names.length > LINES_MAX ? names.slice(0, LINES_MAX - 1) : names;
    const lineOf = (row: Stats['rows'][number]) =>
      told.includes(nameOf(row)) ? nameOf(row) : OTHERS;
    const course = courses(stats, lineOf, measure);
    const lines = told.length < names.length ? [...told, OTHERS] : told;
    const isPlain = isOne && names.length === 1 && order.length === 0;
    return {
      times: course.times,
      series: lines.map((name) => ({
        label: isPlain ? label : name,
        values: course.values.get(name) ?? course.times.map(() => 0),
      })),
    };
  }, [stats, measure, isOne, order.join('\n')]);
  const unit = `per ${stats.by === 'day' ? 'day' : 'hour'}, ${stats.tz}`;
  return (
    <Section
      card
      title={`${label} ${stats.by === 'day' ? 'by day' : 'by hour'}`}
      beside={
        <Segments
          label="What is drawn"
          value={measure}
          choices={MEASURES.map(({ id, label: words }) => ({ value: id, label: words }))}
          onPick={(value) =>
            setParams((before) => {
              const next = new URLSearchParams(before);
              next.set('measure', value);
              return next;
            })
          }
        />
      }
    >
      <Chart bare title={label} {...{ unit, times, series }} zone={stats.tz} height={240} />
      {isCut(stats) && (
        <p class="soft small">
          The last {stats.by === 'day' ? 'day' : 'hour'} is not whole: it is counted until{' '}
          {moment(Date.parse(stats.to), stats.tz)}.
        </p>
      )}
    </Section>
  );
}

/** In the order of the definition, or those with the most first. */
function namesOf(
  { rows }: Stats,
  nameOf: (row: Stats['rows'][number]) => string,
  measure: Measure,
  order: readonly string[],
): string[] {
  const sums = sumsBy(rows, nameOf);
  const most = [...sums].sort(([, one], [, other]) => other[measure] - one[measure]);
  const names = most.map(([name]) => name);
  const place = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  return order.length ? names.sort((one, other) => place(one) - place(other)) : names;
}
