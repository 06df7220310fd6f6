// All popups, a page at a time: what state each is in, how often it is shown, and what comes of it.
import './popups.css';
import { useState } from 'preact/hooks';
import { get } from '../../api/client';
import { useCatalogChange, useLive } from '../../api/live';
import { type Popup, type PopupPage, switchFor } from '../../api/popups';
import { useEvery, useLoad } from '../../api/load';
import { may } from '../../api/session';
import type { Switch } from '../../api/switching';
import { Button, LinkButton } from '../../ui/button';
import { count, many } from '../../ui/format';
import { useKeys } from '../../ui/keys';
import { Empty, Failure, Notice, Skeleton } from '../../ui/notice';
import { PageHead } from '../../ui/page';
import { Table } from '../../ui/table';
import { columns } from './columns';
import { Filters } from './filters';
import { askedOf, type ListQuery, PAGE, useListQuery } from './list-query';
import { LiveNote } from './live-rate';
import { SwitchDialog } from './switch-dialog';

/** Counts of the last day need no more than this; changes of popups are told as they happen. */
const RELOAD_MS = 30_000;

/** Where the pages of a search begin that were looked at; the node's marks are opaque. */
const MARKS = new Map<string, (string | null)[]>();

export default function Popups() {
  useLive();
  const { query, change, sort } = useListQuery();
  const { page, loaded } = usePage(query);
  const { value, error, isOld, reload } = loaded;
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
        <Nothing
          isFiltered={isFiltered}
          clear={() => change({ q: '', status: '', placement: '' })}
        />
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
          <LiveNote />
        </>
      )}
      {acting && (
        <SwitchDialog {...acting} onClose={() => setActing(null)} onDone={reload} />
      )}
    </>
  );
}

/** The page of the list that is asked for; the first where it is not known where that begins. */
function usePage(query: ListQuery) {
  const marksKey = JSON.stringify({ ...query, page: undefined });
  const marks = MARKS.get(marksKey) ?? [null];
  // A page whose beginning is not known any more is looked for from the first.
  const page = Math.min(query.page, marks.length - 1);
  const loaded = useLoad(`${marksKey} ${page}`, async (signal) => {
    const told = await get<PopupPage>('/v1/popups', askedOf(query, marks[page] ?? null), signal);
    MARKS.clear();
    MARKS.set(marksKey, [...marks.slice(0, page + 1), ...nextOf(told)]);
    return told;
  });
  return { page, loaded };
}

function placementsOf(page: PopupPage | undefined): string[] {
  return [...new Set(page?.popups.flatMap(({ placement }) => placement))].sort();
}

function nextOf({ next_after: next }: PopupPage): string[] {
  return next === null ? [] : [next];
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
