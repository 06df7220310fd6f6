// What the list of popups is narrowed by.
import { useEffect, useState } from 'preact/hooks';
import { Select, TextField } from '../../ui/field';
import type { Sort } from '../../ui/table';
import { type ListQuery, SORTS } from './list-query';

const TYPED_MS = 200;

const STATUSES = [
  { value: '', label: 'All states' },
  { value: 'live', label: 'Live' },
  { value: 'paused', label: 'Paused' },
  { value: 'draft', label: 'Draft' },
  { value: 'archived', label: 'Archived' },
];

interface FiltersProps {
  readonly query: ListQuery;
  readonly change: (some: Partial<ListQuery>) => void;
  readonly sort: Sort;
  readonly placements: readonly string[];
}

export function Filters({ query, change, sort, placements }: FiltersProps) {
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
