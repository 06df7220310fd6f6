// Rows of one kind. Heads sort; `j` and `k` go from row to row; on a narrow screen each row is a
// card, and each cell says its column.
import type { ComponentChildren } from 'preact';
import { useRef } from 'preact/hooks';
import { Icon } from './icon';
import { useKeys } from './keys';

export interface Column<Row> {
  readonly id: string;
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** Figures stand at the right, below each other. */
  readonly figure?: boolean;
  readonly sortable?: boolean;
  /** As CSS says it, so that columns don't move when rows come. */
  readonly width?: string;
  /** It is the row's name: larger, and first on a card. */
  readonly name?: boolean;
  /** The title is heard alone; on a card it stands beside the name. */
  readonly bare?: boolean;
  /** Left out where there is little room, though not on a card. */
  readonly wide?: boolean;
}

export interface Sort {
  readonly by: string;
  readonly falling: boolean;
}

interface TableProps<Row> {
  /** What the rows are, for those who hear them. */
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowId: (row: Row) => string;
  readonly sort?: Sort;
  readonly onSort?: (sort: Sort) => void;
  /** Whether `j` and `k` go from row to row: for the one table of a page. */
  readonly keys?: boolean;
  /** What is shown is being renewed. */
  readonly busy?: boolean;
}

/** Of each row, the first link or button takes the focus of `j` and `k`. */
export function Table<Row>(props: TableProps<Row>) {
  const { caption, columns, rows, rowId, sort, onSort, keys = false, busy = false } = props;
  const body = useRef<HTMLTableSectionElement>(null);
  const step = (by: 1 | -1) => {
    const all = [...(body.current?.rows ?? [])];
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = at < 0 ? all[by > 0 ? 0 : all.length - 1] : all[at + by];
    next?.querySelector<HTMLElement>('a, button')?.focus();
    next?.scrollIntoView({ block: 'nearest' });
  };
  useKeys(
    keys
      ? {
          j: { words: 'Next row', call: () => step(1) },
          k: { words: 'Row before', call: () => step(-1) },
        }
      : {},
  );
  // Columns of known widths stay where they are, whatever comes in them.
  const isFixed = columns.some(({ width }) => width);
  return (
    <div class="table-room">
      <table
        class={isFixed ? 'table table-fixed' : 'table'}
        role="table"
        aria-busy={busy || undefined}
      >
        <caption class="hidden">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <Head key={column.id} column={column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody ref={body} role="rowgroup">
          {rows.map((row) => (
            <tr key={rowId(row)} role="row" data-row={rowId(row)}>
              {columns.map((column) => (
                <td
                  key={column.id}
                  role="cell"
                  class={cellClass(column)}
                  data-title={column.name || column.bare ? undefined : column.title}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function cellClass<Row>(column: Column<Row>): string | undefined {
  const names = [
    column.name && 'table-name',
    column.figure && 'table-figure',
    column.bare && 'table-bare',
    column.wide && 'table-wide',
  ];
  return names.filter(Boolean).join(' ') || undefined;
}

interface HeadProps<Row> {
  readonly column: Column<Row>;
  readonly sort: Sort | undefined;
  readonly onSort: ((sort: Sort) => void) | undefined;
}

function Head<Row>({ column, sort, onSort }: HeadProps<Row>) {
  const style = column.width ? { width: column.width } : undefined;
  const isSorted = sort?.by === column.id;
  const order = isSorted ? (sort.falling ? 'descending' : 'ascending') : undefined;
  const title = column.bare ? <span class="hidden">{column.title}</span> : column.title;
  return (
    <th
      scope="col"
      role="columnheader"
      class={cellClass(column)}
      style={style}
      aria-sort={order}
    >
      {column.sortable && onSort ? (
        <button
          type="button"
          class="table-sort"
          // Figures are looked at from the largest, names from the first.
          onClick={() =>
            onSort({ by: column.id, falling: isSorted ? !sort.falling : Boolean(column.figure) })
          }
        >
          {title}
          <span class={isSorted ? 'table-arrow' : 'table-arrow table-arrow-off'}>
            <Icon name={isSorted && sort.falling ? 'down' : 'up'} />
          </span>
        </button>
      ) : (
        title
      )}
    </th>
  );
}
