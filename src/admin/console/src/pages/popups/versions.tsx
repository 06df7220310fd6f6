// How a popup came to be so: who changed what, and the way back.
import { useState } from 'preact/hooks';
import { get } from '../../api/client';
import { useLoad } from '../../api/load';
import { type HistoryLine, type HistoryPage, type Popup, rollBack } from '../../api/popups';
import { may } from '../../api/session';
import { Button } from '../../ui/button';
import { CHANGES } from '../../ui/changes';
import { Chip } from '../../ui/chip';
import { Dialog } from '../../ui/dialog';
import { Empty, Failure, Skeleton } from '../../ui/notice';
import { Time } from '../../ui/time';
import { toast } from '../../ui/toast';
import { Diff } from '../editor/diff';
import { listWords } from './in-words';

const LINES = 25;

interface VersionsProps {
  readonly popup: Popup;
  readonly onChange: () => void;
}

export function Versions({ popup, onChange }: VersionsProps) {
  const { id, version, override } = popup;
  const path = `/v1/popups/${encodeURIComponent(id)}/history`;
  // What changes it, changes this.
  const key = version > 0 ? `history ${id} ${version} ${override}` : null;
  const first = useLoad(key, (signal) => get<HistoryPage>(path, { limit: LINES }, signal));
  const [older, setOlder] = useState<readonly HistoryPage[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [backTo, setBackTo] = useState<HistoryLine | null>(null);
  if (version === 0) {
    return (
      <Empty title="No versions yet">
        <p>Publishing the draft makes the first one.</p>
      </Empty>
    );
  }
  if (!first.value && first.error) {
    return <Failure error={first.error} what="The versions could not be loaded" />;
  }
  if (!first.value) return <Skeleton lines={8} />;
  const pages = [first.value, ...older];
  const before = pages[pages.length - 1]?.next_before ?? null;
  const lines = pages.flatMap(({ history }) => history);
  const more = () => {
    setError(null);
    get<HistoryPage>(path, { limit: LINES, before: before ?? undefined }).then(
      (page) => setOlder([...older, page]),
      setError,
    );
  };
  const canRollBack = may('edit') && popup.origin === 'api' && !popup.gone;
  return (
    <>
      <ol>
        {lines.map((line, index) => (
          <Line
            key={`${line.version} ${line.at} ${index}`}
            line={line}
            isNow={line.version === version && isText(line)}
            onBack={canRollBack && line.version !== version ? () => setBackTo(line) : null}
          />
        ))}
      </ol>
      {error ? <Failure error={error} what="No older versions could be loaded" /> : null}
      {before !== null && (
        <div class="pages">
          <Button small onClick={more}>
            Older versions
          </Button>
        </div>
      )}
      {backTo && (
        <BackDialog
          popup={popup}
          line={backTo}
          onClose={() => setBackTo(null)}
          onDone={() => {
            setOlder([]);
            onChange();
          }}
        />
      )}
    </>
  );
}

/** Whether a line made a definition; a pause, an archive and a resume do not. */
function isText({ change }: HistoryLine): boolean {
  return change !== 'override';
}

/** What a line says was done; overrides say it by the state that they changed. */
function changeWords({ change, diff }: HistoryLine): string {
  if (change === 'archived') return 'Deleted';
  if (change !== 'override') return CHANGES[change] ?? change;
  const after = Object.values(diff ?? {})[0]?.[1];
  if (after === 'paused') return 'Paused';
  if (after === 'archived') return 'Archived';
  return after === null || after === undefined ? 'Resumed' : `State: ${String(after)}`;
}

interface LineProps {
  readonly line: HistoryLine;
  readonly isNow: boolean;
  readonly onBack: (() => void) | null;
}

function Line({ line, isNow, onBack }: LineProps) {
  const [open, setOpen] = useState(false);
  const members = isText(line) ? Object.keys(line.diff ?? {}) : [];
  return (
    <li class="version">
      <div class="version-head">
        <h2>
          {changeWords(line)}
          {isText(line) && ` · version ${line.version}`}
        </h2>
        {isNow && <Chip tone="accent">in force</Chip>}
        <span>
          <Time at={line.at} />
        </span>
        <span class="soft">{line.who}</span>
        {onBack && isText(line) && line.definition && (
          <span class="version-act">
            <Button small onClick={onBack}>
              Roll back to this <span class="hidden">version {line.version}</span>
            </Button>
          </span>
        )}
      </div>
      {members.length > 0 && (
        <details onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>{listWords(members, 'and')}</summary>
          {open && <Diff {...sidesOf(line)} />}
        </details>
      )}
    </li>
  );
}

interface BackProps {
  readonly popup: Popup;
  readonly line: HistoryLine;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function BackDialog({ popup, line, onClose, onDone }: BackProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const run = () => {
    setBusy(true);
    setError(null);
    rollBack(popup, line.version).then(
      (now) => {
        toast(`${popup.id} is as it was in version ${line.version}, as version ${now.version}`);
        onClose();
        onDone();
      },
      (failure: unknown) => {
        setError(failure);
        setBusy(false);
      },
    );
  };
  return (
    <Dialog
      wide
      title={`Roll ${popup.id} back to version ${line.version}?`}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" busy={busy} onClick={run}>
            Roll back
          </Button>
        </>
      }
    >
      <p>
        Its definition of then becomes version {popup.version + 1}, in force everywhere within a
        second. What is between stays in this list.
      </p>
      <Diff
        before={popup.definition}
        after={line.definition}
        names={[`Version ${popup.version}`, `Version ${line.version}`]}
      />
      {error ? <Failure error={error} what="Not rolled back" /> : null}
    </Dialog>
  );
}

/** The definition that a line made, and the one before it: its diff says what was otherwise. */
function sidesOf({ definition, diff }: HistoryLine): { before: unknown; after: unknown } {
  const [before, after]: Record<string, unknown>[] = [{ ...definition }, { ...definition }];
  for (const [name, [was, is]] of Object.entries(diff ?? {})) {
    if (was === null) delete before?.[name];
    else if (before) before[name] = was;
    if (!definition && after && is !== null) after[name] = is;
  }
  return { before, after };
}
