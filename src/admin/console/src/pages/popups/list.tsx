// All popups, a page at a time: what state each is in, how often it is shown, and what comes of it.
import './popups.css';
import { useEffect, useState } from 'preact/hooks';
import { Link, useSearchParams } from 'wouter-preact';
import { get } from '../../api/client';
import { useCatalogChange, useLive } from '../../api/live';
import { type Popup, type PopupPage, switchFor, titleOf } from '../../api/popups';
import { useEvery, useLoad } from '../../api/load';
import { may } from '../../api/session';
import type { Switch } from '../../api/switching';
import { Button, LinkButton } from '../../ui/button';
import { Chip, StatusChip } from '../../ui/chip';
import { Select, TextField } from '../../ui/field';
import { count, many, NOTHING, share } from '../../ui/format';
import { useKeys } from '../../ui/keys';
import { Empty, Failure, Notice, Skeleton } from '../../ui/notice';
import { PageHead } from '../../ui/page';
import { Sparkline } from '../../ui/sparkline';
import { type Column, type Sort, Table } from '../../ui/table';
import { Time } from '../../ui/time';
import { LiveRate } from './live-rate';
import { SwitchDialog } from './switch-dialog';

const PAGE = 50;
const TYPED_MS = 200;
/** Counts of the last day need no more than this; changes of popups are told as they happen. */
const RELOAD_MS = 30_000;

/** Columns that the node sorts by, and its words for them. */
const SORTS = [
  { value: 'id', label: 'Name' },
  { value: 'shows', label: 'Shows, last 24 h' },
  { value: 'clicks', label: 'Clicks, last 24 h' },
  { value: 'priority', label: 'Priority' },
  { value: 'updated', label: 'Last change' },
];

const STATUSES = [
  { value: '', label: 'All states' },
  { value: 'live', label: 'Live' },
  { value: 'paused', label: 'Paused' },
  { value: 'draft', label: 'Draft' },
  { value: 'archived', label: 'Archived' },
];

/** Where the pages of a search begin that were looked at; the node's marks are opaque. */
const MARKS = new Map<string, (string | null)[]>();

export default function Popups() {
  useLive();
  const { query, change, sort } = useListQuery();
  const marksKey = JSON.stringify({ ...query, page: undefined });
  const marks = MARKS.get(marksKey) ?? [null];
  // A page whose beginning is not known any more is looked for from the first.
  const page = Math.min(query.page, marks.length - 1);
  const { value, error, isOld, reload } = useLoad(`${marksKey} ${page}`, async (signal) => {
    const { page: _, ...asked } = query;
    const after = marks[page] ?? undefined;
    const wanted = { ...asked, after, limit: PAGE, stats: '24h' };
    const loaded = await get<PopupPage>('/v1/popups', wanted, signal);
    MARKS.clear();
    MARKS.set(marksKey, [...marks.slice(0, page + 1), ...nextOf(loaded)]);
    return loaded;
  });
  useEvery(RELOAD_MS, reload);
  useCatalogChange(null, reload);
  const [acting, setActing] = useState<{ popup: Popup; what: Switch } | null>(null);
  const act = (popup: Popup) => {
    const what = switchFor(popup);
    if (what && may('switch')) setActing({ popup, what });
  };
  useKeys({
    p: {
      words: 'Pause or resume the popup of this row',
      call: () => {
        const row = document.activeElement?.closest<HTMLElement>('[data-row]')?.dataset['row'];
        const popup = value?.popups.find(({ id }) => id === row);
        if (popup) act(popup);
      },
    },
  });
  const isFiltered = Boolean(query.q || query.status || query.placement);
  return (
    <>
      <PageHead title="Popups">
        {may('edit') && (
          <LinkButton kind="primary" icon="plus" href="/new">
            New popup
          </LinkButton>
        )}
      </PageHead>
      <Filters query={query} change={change} sort={sort} placements={placementsOf(value)} />
      {error ? <Failure error={error} what="The popups could not be loaded" /> : null}
      {value?.warnings?.map((line) => <Notice key={line} tone="warn">{line}</Notice>)}
      {!value && !error && <Skeleton height="40rem" />}
      {value && value.total === 0 && (
        <Nothing isFiltered={isFiltered} clear={() => change({ q: '', status: '', placement: '' })} />
      )}
      {value && value.total > 0 && (
        <>
          <Table
            caption="Popups"
            keys
            columns={columns(act)}
            rows={value.popups}
            rowId={({ id }) => id}
            sort={sort}
            onSort={({ by, falling }) => change({ sort: by, order: falling ? 'desc' : 'asc' })}
            busy={isOld}
          />
          <Pages
            page={page}
            shown={value.popups.length}
            total={value.total}
            hasMore={value.next_after !== null}
            go={(to) => change({ page: to })}
          />
        </>
      )}
      {acting && (
        <SwitchDialog {...acting} onClose={() => setActing(null)} onDone={reload} />
      )}
    </>
  );
}

interface ListQuery {
  readonly q: string;
  readonly status: string;
  readonly placement: string;
  readonly sort: string;
  readonly order: string;
  /** From 0. */
  readonly page: number;
}

function queryOf(params: URLSearchParams): ListQuery {
  const of = (name: string) => params.get(name) ?? '';
  const sort = SORTS.some(({ value }) => value === of('sort')) ? of('sort') : 'id';
  return {
    q: of('q'),
    status: of('status'),
    placement: of('placement'),
    sort,
    order: of('order') || (sort === 'id' ? 'asc' : 'desc'),
    page: Math.max(0, (Number(of('page')) || 1) - 1),
  };
}

function useListQuery() {
  const [params, setParams] = useSearchParams();
  const query = queryOf(params);
  const change = (some: Partial<ListQuery>) => {
    // As it stands now: what is typed in two fields comes at two times.
    const next = { ...queryOf(new URLSearchParams(location.search)), page: 0, ...some };
    const text: Record<string, string> = {};
    for (const name of ['q', 'status', 'placement'] as const) {
      if (next[name]) text[name] = next[name];
    }
    if (next.sort !== 'id') text['sort'] = next.sort;
    if (next.order !== (next.sort === 'id' ? 'asc' : 'desc')) text['order'] = next.order;
    if (next.page > 0) text['page'] = String(next.page + 1);
    // What is typed letter by letter is one step of the browser's history.
    setParams(text, { replace: some.q !== undefined });
  };
  const sort: Sort = { by: query.sort, falling: query.order === 'desc' };
  return { query, change, sort };
}

function nextOf({ next_after: next }: PopupPage): string[] {
  return next === null ? [] : [next];
}

function placementsOf(page: PopupPage | undefined): string[] {
  return [...new Set(page?.popups.flatMap(({ placement }) => placement))].sort();
}

interface FiltersProps {
  readonly query: ListQuery;
  readonly change: (some: Partial<ListQuery>) => void;
  readonly sort: Sort;
  readonly placements: readonly string[];
}

function Filters({ query, change, sort, placements }: FiltersProps) {
  const [text, setText] = useTyped(query.q, (q) => change({ q }));
  const [placement, setPlacement] = useTyped(query.placement, (typed) =>
    change({ placement: typed }),
  );
  return (
    <search class="filters">
      <TextField
        class="filter-text"
        label="Search"
        type="search"
        placeholder="Name or text"
        spellcheck={false}
        value={text}
        onText={setText}
      />
      <Select
        label="State"
        value={query.status}
        choices={STATUSES}
        onPick={(status) => change({ status })}
      />
      <TextField
        label="Placement"
        type="search"
        placeholder="Any"
        list="placements"
        spellcheck={false}
        value={placement}
        onText={setPlacement}
      />
      <datalist id="placements">
        {placements.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <Select
        label="Sorted by"
        value={sort.by}
        choices={SORTS}
        onPick={(by) => change({ sort: by, order: by === 'id' ? 'asc' : 'desc' })}
      />
    </search>
  );
}

/** A text that is taken when nothing has been typed for a moment. */
function useTyped(taken: string, take: (text: string) => void): [string, (text: string) => void] {
  const [text, setText] = useState(taken);
  useEffect(() => setText(taken), [taken]);
  useEffect(() => {
    if (text === taken) return;
    const timer = setTimeout(() => take(text), TYPED_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return [text, setText];
}

function columns(act: (popup: Popup) => void): Column<Popup>[] {
  return [
    { id: 'id', title: 'Popup, placement', name: true, sortable: true, cell: (popup) => <Name {...popup} /> },
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
      width: '7.25rem',
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

function Name({ id, definition, draft, version, placement }: Popup) {
  const title = titleOf(definition);
  return (
    <>
      <Link href={`/popups/${id}`}>{id}</Link>
      {draft && version > 0 && (
        <span class="beside">
          <Chip tone="accent">Draft waiting</Chip>
        </span>
      )}
      <span class="under" title={title}>
        {[placement.join(', '), title].filter(Boolean).join(' · ')}
      </span>
    </>
  );
}

function State({ effective_status: status, status: own, override, updated_at: at }: Popup) {
  return (
    <>
      <StatusChip status={status} />
      <span class="under">
        {override && own !== status && `over ${own}${at ? ', ' : ''}`}
        {at && <Time at={at} form="relative" />}
      </span>
    </>
  );
}

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

interface PagesProps {
  readonly page: number;
  readonly shown: number;
  readonly total: number;
  readonly hasMore: boolean;
  readonly go: (page: number) => void;
}

function Pages({ page, shown, total, hasMore, go }: PagesProps) {
  const first = page * PAGE + 1;
  return (
    <nav class="pages" aria-label="Pages of the list">
      <span class="soft">
        {total > shown && `${count(first)} to ${count(first + shown - 1)} of `}
        {many(total, 'popup')}
      </span>
      {total > shown && (
        <>
          <Button small icon="left" disabled={page === 0} onClick={() => go(page - 1)}>
            Before
          </Button>
          <Button small icon="right" disabled={!hasMore} onClick={() => go(page + 1)}>
            Next
          </Button>
        </>
      )}
    </nav>
  );
}

function Nothing({ isFiltered, clear }: { isFiltered: boolean; clear: () => void }) {
  if (isFiltered) {
    return (
      <Empty
        title="No popup is like that"
        actions={<Button onClick={clear}>Show all popups</Button>}
      >
        <p>The search looks for names and for the texts that popups show.</p>
      </Empty>
    );
  }
  return (
    <Empty
      title="No popups yet"
      actions={
        may('edit') && (
          <LinkButton kind="primary" icon="plus" href="/new">
            Make the first popup
          </LinkButton>
        )
      }
    >
      <p>
        A popup is what a page or an app shows to a user now and then. Give it a name and a text,
        publish it, and it is shown where your page asks for its placement.
      </p>
    </Empty>
  );
}
