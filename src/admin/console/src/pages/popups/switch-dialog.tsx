// Asks whether a popup is to be paused, resumed or archived, does it, and shows who decides by it
// already and how far it is stored, as it comes.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { get } from '../../api/client';
import type { Place, Popup } from '../../api/popups';
import { type Progress, type Switch, switchPopup } from '../../api/switching';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { NOTHING } from '../../ui/format';
import { Icon } from '../../ui/icon';
import { Failure, Notice } from '../../ui/notice';

interface SwitchProps {
  readonly popup: Popup;
  readonly what: Switch;
  readonly onClose: () => void;
  /** The popup is another now. */
  readonly onDone: (popup: Popup) => void;
}

const TITLES: Record<Switch, string> = { pause: 'Pause', resume: 'Resume', archive: 'Archive' };
const DOING: Record<Switch, string> = {
  pause: 'Pausing',
  resume: 'Resuming',
  archive: 'Archiving',
};
const DONE: Record<Switch, string> = { pause: 'Paused', resume: 'Resumed', archive: 'Archived' };

/** What a node has, as far as it is of interest here. */
interface Surroundings {
  readonly shards: readonly { readonly id: number }[];
  readonly redis: unknown;
  readonly nodes?: readonly { node: string; host: string; self: boolean }[];
}

export function SwitchDialog({ popup, what, onClose, onDone }: SwitchProps) {
  const [progress, setProgress] = useState<Progress | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [around, setAround] = useState<Surroundings | null>(null);
  const close = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    get<Surroundings>('/v1/status').then(setAround, () => {});
  }, []);
  const isDone = Boolean(progress?.done);
  useEffect(() => {
    if (isDone) close.current?.focus();
  }, [isDone]);
  const run = () => {
    setError(null);
    setProgress({ shards: [], nodes: [], stored: null, done: null });
    switchPopup(popup.id, what, setProgress).then(
      ({ done }) => done && onDone(done),
      (failure: unknown) => {
        setError(failure);
        setProgress(null);
      },
    );
  };
  const isRunning = progress !== null && !isDone;
  const title = `${isDone ? DONE[what] : progress ? DOING[what] : TITLES[what]} ${popup.id}`;
  return (
    <Dialog
      title={progress ? title : `${title}?`}
      onClose={onClose}
      actions={
        isDone ? (
          <button ref={close} type="button" class="button button-primary" onClick={onClose}>
            Close
          </button>
        ) : (
          <>
            <Button onClick={onClose}>{isRunning ? 'Close' : 'Cancel'}</Button>
            <Button
              kind={what === 'archive' ? 'danger' : 'primary'}
              busy={isRunning}
              data-first
              onClick={run}
            >
              {TITLES[what]}
            </Button>
          </>
        )
      }
    >
      {!progress && <Effect popup={popup} what={what} />}
      {isDone && what === 'pause' && progress && isSeenByAll(progress, around) && (
        <p>Nobody is shown it any more.</p>
      )}
      {progress && <Steps progress={progress} around={around} />}
      {error ? <Failure error={error} what={`Not ${DONE[what].toLowerCase()}`} /> : null}
      {progress?.done?.warnings?.map((line) => (
        <Notice key={line} tone="warn">
          {line}
        </Notice>
      ))}
    </Dialog>
  );
}

function Effect({ popup, what }: { popup: Popup; what: Switch }) {
  if (what === 'resume') {
    return (
      <p>
        The {popup.override === 'archived' ? 'archive' : 'pause'} ends, and the popup’s own status
        applies again: <strong>{popup.status}</strong>.
        {popup.status !== 'live' && ' That is set in its definition; this does not make it live.'}
      </p>
    );
  }
  return (
    <>
      <p>
        {what === 'pause'
          ? 'Nobody is shown it from now on, on any node, until it is resumed. '
          : 'Nobody is shown it from now on, on any node, and lists leave it behind the others. '}
        Its definition stays as it is, and so does what each user has seen of it.
      </p>
      <p class="soft">What is on somebody’s screen already stays there.</p>
    </>
  );
}

const PLACES: Record<Place, string> = {
  memory: 'in memory',
  node: 'on this node’s disk',
  redis: 'in Redis',
  sql: 'in the database, for good',
};

function Steps({ progress, around }: { progress: Progress; around: Surroundings | null }) {
  const { shards, nodes, stored, done } = progress;
  const known = around?.shards.map(({ id }) => id) ?? [];
  const all = [...new Set([...known, ...shards.map(({ shard }) => shard)])].sort((a, b) => a - b);
  const places = (Object.keys(PLACES) as Place[]).filter(
    (place) => place !== 'redis' || around?.redis || stored === 'redis',
  );
  const reached = stored ? places.indexOf(stored) : -1;
  const others = othersOf(progress, around);
  // Where nothing had to change, or an older node tells no shards, the answer speaks for them.
  const isAnswered = Boolean(done) && shards.length === 0;
  return (
    <dl class="progress" aria-live="polite">
      <div class="progress-line">
        <dt>Shards</dt>
        <dd class="marks">
          {all.map((id) => {
            const seen = shards.find(({ shard }) => shard === id);
            const after = seen ? ` after ${milliseconds(seen.after_ms)}` : '';
            return <Mark key={id} done={Boolean(seen) || isAnswered}>{`${id}${after}`}</Mark>;
          })}
          {all.length === 0 && NOTHING}
        </dd>
      </div>
      {(others.length > 0 || nodes.length > 0) && (
        <div class="progress-line">
          <dt>Other nodes</dt>
          <dd class="marks">
            {others.map(({ node, host, seen, after_ms: after }) => (
              <Mark key={node} done={Boolean(seen)}>
                {`${host}${seen && after !== undefined ? ` after ${milliseconds(after)}` : ''}`}
                {done && !seen ? ' has not said so yet' : ''}
              </Mark>
            ))}
            {others.length === 0 && 'none'}
          </dd>
        </div>
      )}
      <div class="progress-line">
        <dt>Stored</dt>
        <dd class="marks">
          {places.map((place, index) => (
            <Mark key={place} done={index <= reached}>
              {PLACES[place]}
            </Mark>
          ))}
        </dd>
      </div>
      {done && stored !== 'sql' && (
        <Notice tone="warn">
          It holds as far as it is stored above. The node goes on until the database has it.
        </Notice>
      )}
    </dl>
  );
}

/** Whether each other node has said that it goes by it. */
function isSeenByAll(progress: Progress, around: Surroundings | null): boolean {
  return around !== null && othersOf(progress, around).every(({ seen }) => seen);
}

function othersOf({ nodes }: Progress, around: Surroundings | null) {
  const known = (around?.nodes ?? []).filter(({ self }) => !self);
  const told = nodes.filter(({ self }) => !self);
  const silent = known.filter(({ node }) => !told.some((one) => one.node === node));
  return [...told, ...silent.map((one) => ({ ...one, seen: false, after_ms: undefined }))];
}

function milliseconds(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

function Mark({ done, children }: { done: boolean; children: ComponentChildren }) {
  return (
    <span class={done ? 'mark mark-done' : 'mark'}>
      <Icon name="check" />
      {children}
      <span class="hidden">{done ? ', done' : ', not yet'}</span>
    </span>
  );
}
