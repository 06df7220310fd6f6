// Who changed what: popups and tokens, the newest first, in pages.
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import { get, Refusal } from '../../api/client';
import { useLoad } from '../../api/load';
import { Button } from '../../ui/button';
import { CHANGES } from '../../ui/changes';
import { Chip } from '../../ui/chip';
import { moment } from '../../ui/format';
import { Empty, Failure, Notice, Skeleton } from '../../ui/notice';
import { Section } from '../../ui/page';
import { type Column, Table } from '../../ui/table';
import { When } from '../../ui/when';

interface Entry {
  readonly at: string;
  readonly who: string;
  readonly kind: 'popup' | 'token';
  readonly popup?: string;
  readonly token?: string;
  readonly name?: string;
  readonly role?: string;
  readonly change: string;
  readonly version?: number;
  readonly members?: readonly string[];
  readonly expires_at?: string;
}

interface Page {
  readonly entries: readonly Entry[];
  readonly next_before: string | null;
}

const load = (before: string | null, signal?: AbortSignal) =>
  get<Page>('/v1/audit', { limit: 100, before: before ?? '' }, signal);

export function Audit() {
  const first = useLoad('audit', (signal) => load(null, signal));
  const [older, setOlder] = useState<readonly Page[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const pages = first.value ? [first.value, ...older] : [];
  const next = pages.at(-1)?.next_before ?? null;
  const entries = pages.flatMap((page) => page.entries);
  const more = async () => {
    setBusy(true);
    setError(null);
    try {
      const page = await load(next);
      setOlder((had) => [...had, page]);
    } catch (thrown) {
      setError(thrown);
    } finally {
      setBusy(false);
    }
  };
  const failure = error ?? first.error;
  return (
    <Section title="Who changed what">
      {failure ? (
        <Away error={failure} onAgain={() => (error ? void more() : first.reload())} />
      ) : null}
      {!first.value && !first.error && <Skeleton lines={8} />}
      {first.value && entries.length === 0 && (
        <Empty title="No changes yet">
          <p>Each change of a popup and each token is written here, with who made it.</p>
        </Empty>
      )}
      {entries.length > 0 && (
        <Table
          caption="Changes, newest first"
          columns={COLUMNS}
          rows={entries.map((entry, at) => ({ ...entry, at_row: at }))}
          rowId={(row) => String(row.at_row)}
        />
      )}
      {next && (
        <div class="system-more">
          <Button busy={busy} onClick={() => void more()}>
            Show older
          </Button>
        </div>
      )}
      <p class="system-none">
        Erased users are not in it: who erased one is in the log alone, as <code>user_erased</code>.
      </p>
    </Section>
  );
}

function Away({ error, onAgain }: { error: unknown; onAgain: () => void }) {
  if (error instanceof Refusal && error.status === 404) {
    return (
      <Notice title="This node does not tell its audit">
        <p>Its version is older than the console.</p>
      </Notice>
    );
  }
  const again = <Button onClick={onAgain}>Try again</Button>;
  if (error instanceof Refusal && error.status === 503) {
    return (
      <Notice tone="warn" title="SQL does not answer, or is slow" actions={again}>
        <p>The audit is in SQL. Changes are kept meanwhile, and are written when it is back.</p>
      </Notice>
    );
  }
  return <Failure error={error} what="The audit could not be loaded" />;
}

const COLUMNS: readonly Column<Entry & { at_row: number }>[] = [
  {
    id: 'what',
    title: 'What',
    name: true,
    cell: (entry) =>
      entry.kind === 'popup' ? (
        <Link href={`/popups/${entry.popup}`}>{entry.popup}</Link>
      ) : (
        <span title={entry.token}>
          token {entry.name} ({entry.role})
        </span>
      ),
  },
  {
    id: 'change',
    title: 'Change',
    cell: ({ change }) => <Chip>{CHANGES[change] ?? change}</Chip>,
  },
  {
    id: 'members',
    title: 'Of',
    cell: ({ members, version, expires_at }) => (
      <>
        {version !== undefined && (version === 0 ? 'not published' : `version ${version}`)}
        {members?.length ? `: ${members.join(', ')}` : ''}
        {expires_at && `until ${moment(Date.parse(expires_at))}`}
      </>
    ),
  },
  { id: 'who', title: 'By', cell: ({ who }) => who },
  { id: 'at', title: 'When', cell: ({ at }) => <When at={at} seconds /> },
];
