// What is looked for in the list of popups. It stands in the address, so that a link leads back.
import { useSearchParams } from 'wouter-preact';
import type { Sort } from '../../ui/table';

/** Columns that the node sorts by, and its words for them. */
export const SORTS = [
  { value: 'id', label: 'Name' },
  { value: 'shows', label: 'Shows, last 24 h' },
  { value: 'clicks', label: 'Clicks, last 24 h' },
  { value: 'priority', label: 'Priority' },
  { value: 'updated', label: 'Last change' },
];

export interface ListQuery {
  readonly q: string;
  readonly status: string;
  readonly placement: string;
  readonly sort: string;
  readonly order: string;
  /** From 0. */
  readonly page: number;
}

export function queryOf(params: URLSearchParams): ListQuery {
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

/** Popups of a page. */
export const PAGE = 50;

/** What the node is asked for: the page behind a mark of its own, the first one without. */
export function askedOf({ page: _, ...asked }: ListQuery, mark: string | null) {
  return { ...asked, after: mark ?? undefined, limit: PAGE, stats: '24h' };
}

export function useListQuery() {
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
